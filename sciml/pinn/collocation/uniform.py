"""Uniform collocation: all points anew at every step ("PINN (dynamic)" in Daw et al. 2023), or every so many."""

from __future__ import annotations

from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.jet import Jet


class Uniform(Collocation):
    """Draws all points from the uniform distribution on the domain."""

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        return problem.draw(len(points), generator).to(points)
