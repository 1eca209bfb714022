"""RAR-D, residual-based adaptive refinement with distribution: points are added in proportion to |r|^k / E|r|^k + c.

Source: Wu et al. 2023 (see :mod:`sciml.pinn.collocation.refinement`), algorithm 3; k = 2 and c = 0 as in their
experiments, which begin with half the points that they end with.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.pinn.collocation.rar_g import Growing
from sciml.pinn.collocation.refinement import density
from sciml.ranges import Count, NonNegative


class RARD(Growing):
    """Adds points drawn by their residuals.

    Args:
        every: Steps from one addition to the next.
        pool: Points to choose from.
        add: Points that are added.
        most: The number of points from which on none is added; None for no end.
        k: Exponent of the residual.
        c: Weight of the uniform part.

    Raises:
        ConfigError: A number out of its range.
    """

    def __init__(
        self,
        *,
        every: Count = 1000,
        pool: Count = 100_000,
        add: Count = 10,
        most: Count | None = None,
        k: NonNegative = 2.0,
        c: NonNegative = 0.0,
    ) -> None:
        super().__init__(every=every, pool=pool, add=add, most=most)
        self.k, self.c = k, c

    def choose(self, residual: Tensor, count: int, generator: Generator) -> Tensor:
        return torch.multinomial(density(residual, k=self.k, c=self.c), count, generator=generator)
