"""RAD, residual-based adaptive distribution: all points drawn anew in proportion to |r|^k / E|r|^k + c.

Source: Wu et al. 2023 (see :mod:`sciml.pinn.collocation.refinement`), algorithm 2; k = c = 1 and a pool of 100 000 as
in their experiments. k = 0 is uniform resampling.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.errors import ConfigError
from sciml.pinn.base import Problem
from sciml.pinn.collocation.refinement import Refinement, density
from sciml.pinn.jet import Jet
from sciml.ranges import Count, NonNegative


class RAD(Refinement):
    """Replaces all points.

    Args:
        every: Steps from one draw to the next.
        pool: Points to choose from, at least as many as are chosen.
        k: Exponent of the residual.
        c: Weight of the uniform part.

    Raises:
        ConfigError: A number out of its range; at the first draw, a pool with fewer points than are needed.
    """

    def __init__(
        self, *, every: Count = 1000, pool: Count = 100_000, k: NonNegative = 1.0, c: NonNegative = 1.0
    ) -> None:
        super().__init__(every=every, pool=pool)
        self.k, self.c = k, c

    def start(self, problem: Problem, points: Tensor, generator: Generator) -> Tensor:
        if self.pool < len(points):
            raise ConfigError(f"collocation.pool is {self.pool}; it must hold the {len(points)} points that are chosen")
        return points

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        pool, found = self.look(problem, jet, points, generator)
        return pool[torch.multinomial(density(found, k=self.k, c=self.c), len(points), generator=generator)]
