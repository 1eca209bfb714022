"""The solution of a PDE, seen by any other measurement: at all points (``identity``), at sensors (``points``), ...

The field is what the solution depends on, a source, a coefficient or an initial state. The noise is that of the
measurement that sees the solution.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.diffusion.base import LinearMeasurement, Measurement
from sciml.diffusion.solution.base import LinearSolution, Solution


def solution(*, solution: Solution, seen: Measurement) -> Measurement:
    """A linear measurement if both of its parts are.

    Args:
        solution: From fields to solutions.
        seen: Measures the solutions.
    """
    if isinstance(solution, LinearSolution) and isinstance(seen, LinearMeasurement):
        return LinearSeen(solution, seen)
    return Seen(solution, seen)


@final
class Seen(Measurement):
    """B(S(x)); arguments as those of :func:`solution`."""

    def __init__(self, solution: Solution, seen: Measurement) -> None:
        super().__init__(noise_std=seen.noise_std)
        self.solution, self.seen = solution, seen

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(self.solution(x))


@final
class LinearSeen(LinearMeasurement):
    """B S x, of linear parts; arguments as those of :func:`solution`."""

    def __init__(self, solution: LinearSolution, seen: LinearMeasurement) -> None:
        super().__init__(noise_std=seen.noise_std)
        self.solution, self.seen = solution, seen

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(self.solution(x))

    def transpose(self, y: Tensor) -> Tensor:
        return self.solution.transpose(self.seen.adjoint(y))
