"""Fixed collocation: the points drawn at the start serve every step ("PINN (fixed)" in Daw et al. 2023)."""

from __future__ import annotations

from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.jet import Jet


class Fixed(Collocation):
    """Keeps the points."""

    moves = False

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        return points
