r"""The loss of one condition on points that were not trained on: :math:`m = \frac{1}{N}\sum_x |R_c[u_\theta](x)|^2`.

Low is good. The points are the held-out ones of the run, whose condition-wise mean squares make its ``val/loss``;
conditions with points of their own that the collocation never moves (initial, boundary) have the same ones there as
in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.influence.pinn_measurement.base import PinnMeasurement

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


@final
class Loss(PinnMeasurement):
    """Mean squared residual of a condition.

    Args:
        condition: Its name in the problem, for instance ``residual``, ``initial`` or ``boundary``.
    """

    better_low: ClassVar[bool] = True
    x: Tensor

    def __init__(self, *, condition: str) -> None:
        super().__init__()
        self.condition = condition

    def prepare(self, run: Pinn) -> None:
        if self.condition not in run.conditions:
            raise ConfigError(
                f"influence.task.measurement.condition is '{self.condition}'; the run's conditions are"
                f" {', '.join(run.conditions)}"
            )
        self.register_buffer("x", run.held_out[self.condition].to(torch.float64))
        self.labels = (f"mean square of {self.condition}",)

    def forward(self, run: Pinn) -> Tensor:
        return run.problem.residuals(run.jet, {self.condition: self.x})[self.condition].square().mean()[None]
