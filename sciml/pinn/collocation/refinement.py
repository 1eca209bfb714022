r"""Residual-based adaptive collocation: a look at many points, and a density made of the residuals there.

.. math:: p(x) \propto \frac{|r(x)|^k}{E[|r|^k]} + c,

the expectation over a pool of uniform points, of which some are chosen. Source: Wu, Zhu, Tan, Kartha and Lu, "A
comprehensive study of non-adaptive and residual-based adaptive sampling for physics-informed neural networks", Computer
Methods in Applied Mechanics and Engineering 403 (2023) (arXiv 2207.10289); as in the authors' code
(lu-group/pinn-sampling) each point of the pool is chosen at most once. The look is counted as cost.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.jet import Jet
from sciml.ranges import Count

ROWS = 16384  # points that are evaluated at a time


class Refinement(Collocation):
    """A collocation that looks at the residual elsewhere.

    Args:
        every: Steps from one look to the next.
        pool: Points that are looked at.
    """

    def __init__(self, *, every: Count, pool: Count) -> None:
        super().__init__(every=every)
        self.pool = pool

    def candidates(self, problem: Problem, generator: Generator) -> Tensor:
        """A pool of points (pool, d), uniform ones."""
        return problem.draw(self.pool, generator)

    def look(self, problem: Problem, jet: Jet, like: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """A pool of points (pool, d), and the magnitude (pool,) of the residual there."""
        points = self.candidates(problem, generator).to(like)
        found = []
        with torch.no_grad():
            for part in points.split(ROWS):
                residual = problem.residuals(jet, {problem.interior: part})[problem.interior]
                found.append(torch.linalg.vector_norm(residual.reshape(len(part), -1), dim=1))
        return points, torch.cat(found)


def density(residual: Tensor, *, k: float, c: float) -> Tensor:
    """Weights of the points of a pool, which need not add up to 1: float64, positive.

    Where all residuals vanish, or k is 0, all are alike.
    """
    power = residual.double() ** k
    mean = power.mean()
    return power / torch.where(mean > 0, mean, torch.ones_like(mean)) + c + torch.finfo(torch.float64).tiny
