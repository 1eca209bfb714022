"""Points that fill the domain more evenly than independent ones: what such collocations share.

Compared for physics-informed networks, fixed or drawn anew, by Wu, Zhu, Tan, Kartha and Lu, "A comprehensive study of
non-adaptive and residual-based adaptive sampling for physics-informed neural networks", Computer Methods in Applied
Mechanics and Engineering 403 (2023) (arXiv 2207.10289).
"""

from __future__ import annotations

from abc import abstractmethod

from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.jet import Jet


class LowDiscrepancy(Collocation):
    """Randomised even points.

    Args:
        every: Steps from one draw of all points to the next; None keeps the first.
    """

    def __init__(self, *, every: int | None) -> None:
        super().__init__(every=1 if every is None else every)
        self.moves = every is not None

    @abstractmethod
    def unit(self, n: int, d: int, generator: Generator) -> Tensor:
        """Points (n, d) of the unit cube, float64, each of them uniformly distributed."""

    def start(self, problem: Problem, points: Tensor, generator: Generator) -> Tensor:
        unit = self.unit(len(points), problem.in_features, generator)
        return problem.place(unit.to(generator.device)).to(points)

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        return self.start(problem, points, generator) if self.moves else points
