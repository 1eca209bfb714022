r"""The solution at chosen points: :math:`m_q = u_\theta(x^*_q)`. Signed.

A positive score: without the collocation point the network would say more at :math:`x^*_q`. Koh and Liang (2017) take
the loss of a prediction; PINNfluence (Naujoks et al., arXiv 2409.08958) takes the prediction itself, as here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, final

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.influence.pinn_measurement.base import PinnMeasurement
from sciml.ranges import Natural

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


@final
class Value(PinnMeasurement):
    """One unknown at points.

    Args:
        at: Points, each with as many coordinates as the problem has inputs, in their order.
        output: Number of the unknown, from 0.
    """

    better_low: ClassVar[bool] = False
    x: Tensor

    def __init__(self, *, at: Sequence[Sequence[float]], output: Natural = 0) -> None:
        super().__init__()
        self.at, self.output = at, output

    def prepare(self, run: Pinn) -> None:
        self.register_buffer("x", points(self.at, run, "value"))
        if self.output >= run.problem.out_features:
            raise ConfigError(
                f"influence.task.measurement.output is {self.output}; the problem has the unknowns"
                f" 0 to {run.problem.out_features - 1} ({', '.join(run.problem.outputs)})"
            )
        name = run.problem.outputs[self.output]
        self.labels = tuple(f"{name}({', '.join(f'{c:.3g}' for c in point)})" for point in self.at)

    def forward(self, run: Pinn) -> Tensor:
        return run.jet(self.x)[:, self.output]


def points(at: Sequence[Sequence[float]], run: Pinn, name: str) -> Tensor:
    """Points ``(n, d)`` in float64.

    Raises:
        ConfigError: There are none, or one has not as many coordinates as the problem has inputs.
    """
    d, inputs = run.problem.in_features, ", ".join(run.problem.axes)
    if not at or any(len(point) != d for point in at):
        raise ConfigError(f"influence.task.measurement.at ({name}) must be points of {d} coordinates each ({inputs})")
    return torch.tensor([list(point) for point in at], dtype=torch.float64)
