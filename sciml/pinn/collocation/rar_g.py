"""RAR-G, residual-based adaptive refinement, greedy: the points with the largest residuals of a pool are added.

Source: Lu, Meng, Mao and Karniadakis, "DeepXDE: a deep learning library for solving differential equations", SIAM
Review 63 (2021) (arXiv 1907.04502), in the form of Wu et al. 2023 (see :mod:`sciml.pinn.collocation.refinement`).
Their experiments begin with half the points that they end with.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor

from sciml.errors import ConfigError
from sciml.pinn.base import Problem
from sciml.pinn.collocation.refinement import Refinement
from sciml.pinn.jet import Jet
from sciml.ranges import Count


class Growing(Refinement):
    """A refinement that adds points.

    Args:
        every: Steps from one addition to the next.
        pool: Points to choose from.
        add: Points that are added, at most as many as the pool has.
        most: The number of points from which on none is added; None for no end.

    Raises:
        ConfigError: ``add`` is above ``pool``.
    """

    grows: ClassVar[bool] = True

    def __init__(self, *, every: Count, pool: Count, add: Count, most: Count | None) -> None:
        super().__init__(every=every, pool=pool)
        if add > pool:
            raise ConfigError(f"collocation.add is {add}; it must be at most the pool of {pool}")
        self.add, self.most = add, most

    @abstractmethod
    def choose(self, residual: Tensor, count: int, generator: Generator) -> Tensor:
        """Which ``count`` points of the pool are added: indices, given the residual's magnitude (pool,)."""

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        count = self.add if self.most is None else min(self.add, self.most - len(points))
        if count <= 0:
            return points
        pool, found = self.look(problem, jet, points, generator)
        return torch.cat([points, pool[self.choose(found, count, generator)]])


class RARG(Growing):
    """Adds the points with the largest residuals.

    Args:
        every: Steps from one addition to the next.
        pool: Points to choose from.
        add: Points that are added.
        most: The number of points from which on none is added; None for no end.
    """

    def __init__(
        self, *, every: Count = 1000, pool: Count = 100_000, add: Count = 10, most: Count | None = None
    ) -> None:
        super().__init__(every=every, pool=pool, add=add, most=most)

    def choose(self, residual: Tensor, count: int, generator: Generator) -> Tensor:
        return residual.topk(count).indices
