r"""The equation's residual at chosen points: :math:`m_q = |r_\theta(x^*_q)|^2`, summed over the equations; low is good.

The points need not be collocation points: it asks which of those keep the equation satisfied there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, final

from torch import Tensor

from sciml.influence.pinn_measurement.base import PinnMeasurement
from sciml.influence.pinn_measurement.value import points

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


@final
class Residual(PinnMeasurement):
    """Squared interior residual at points.

    Args:
        at: Points, each with as many coordinates as the problem has inputs, in their order.
    """

    better_low: ClassVar[bool] = True
    x: Tensor

    def __init__(self, *, at: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.at = at

    def prepare(self, run: Pinn) -> None:
        self.register_buffer("x", points(self.at, run, "residual"))
        self.labels = tuple(f"|residual|² at ({', '.join(f'{c:.3g}' for c in point)})" for point in self.at)

    def forward(self, run: Pinn) -> Tensor:
        interior = run.problem.interior
        return run.problem.residuals(run.jet, {interior: self.x})[interior].flatten(1).square().sum(1)
