r"""The relative error of the solution: :math:`m = \|u_\theta - u^*\|_2 / \|u^*\|_2` on the evaluation grid. Low: good.

A diagnostic: it needs the reference :math:`u^*`, which is known for test problems only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor

from sciml.influence.pinn_measurement.base import PinnMeasurement
from sciml.ranges import Count

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


@final
class Error(PinnMeasurement):
    """Relative L2 error on every ``stride``-th point of each axis of the evaluation grid.

    Args:
        stride: 1 for the grid of the run's own ``rel_l2``.
    """

    better_low: ClassVar[bool] = True
    diagnostic: ClassVar[bool] = True
    x: Tensor
    reference: Tensor

    def __init__(self, *, stride: Count = 8) -> None:
        super().__init__()
        self.stride = stride

    def prepare(self, run: Pinn) -> None:
        axes = [axis[:: self.stride] for axis in run.problem.axes.values()]
        x = torch.cartesian_prod(*axes).reshape(-1, run.problem.in_features)
        self.register_buffer("x", x)
        self.register_buffer("reference", run.problem.reference(x).detach())
        self.labels = ("relative L2 error (diagnostic)",)

    def forward(self, run: Pinn) -> Tensor:
        return ((run.jet(self.x) - self.reference).norm() / self.reference.norm())[None]
