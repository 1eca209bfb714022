"""RAD, residual-based adaptive distribution: all points drawn anew in proportion to |r|^k / E|r|^k + c.

Source: Wu et al. 2023 (see :mod:`sciml.pinn.collocation.refinement`), algorithm 2; k = c = 1 and a pool of 100 000 as
in their experiments. k = 0 is uniform resampling.

Independent draws leave gaps and clusters; an optimiser that fits the points to the last digit leaves its error in the
gaps. ``stratified`` draws have the same density without them: the pool is a scrambled Sobol net along a curve that
visits neighbours one after the other (Morton, 1966: the bits of the coordinates in turn), and points are taken from it
at equal distances of accumulated probability, from a random start on (Madow, "On the theory of systematic sampling,
II", Annals of Mathematical Statistics 20 (1949)); a point whose probability would exceed 1 is taken once.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.errors import ConfigError
from sciml.pinn.base import Problem
from sciml.pinn.collocation.refinement import Refinement, density
from sciml.pinn.collocation.sobol import Sobol
from sciml.pinn.jet import Jet
from sciml.ranges import Count, NonNegative

BITS = 62  # of a place on the curve
FINEST = 16  # bits of a coordinate: pools are smaller


class RAD(Refinement):
    """Replaces all points.

    Args:
        every: Steps from one draw to the next.
        pool: Points to choose from, at least as many as are chosen.
        k: Exponent of the residual.
        c: Weight of the uniform part.
        stratified: Whether the draws are spread evenly instead of being independent.

    Raises:
        ConfigError: A number out of its range; at the first draw, a pool with fewer points than are needed.
    """

    def __init__(
        self,
        *,
        every: Count = 1000,
        pool: Count = 100_000,
        k: NonNegative = 1.0,
        c: NonNegative = 1.0,
        stratified: bool = False,
    ) -> None:
        super().__init__(every=every, pool=pool)
        self.k, self.c, self.stratified = k, c, stratified

    def start(self, problem: Problem, points: Tensor, generator: Generator) -> Tensor:
        if self.pool < len(points):
            raise ConfigError(f"collocation.pool is {self.pool}; it must hold the {len(points)} points that are chosen")
        return Sobol().start(problem, points, generator) if self.stratified else points

    def candidates(self, problem: Problem, generator: Generator) -> Tensor:
        if not self.stratified:
            return super().candidates(problem, generator)
        net = Sobol().unit(self.pool, problem.in_features, generator)
        return problem.place(net[morton(net).argsort()].to(generator.device))

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        pool, found = self.look(problem, jet, points, generator)
        weights = density(found, k=self.k, c=self.c)
        if self.stratified:
            return pool[systematic(weights, len(points), generator)]
        return pool[torch.multinomial(weights, len(points), generator=generator)]


def morton(unit: Tensor) -> Tensor:
    """Places (n,) of points (n, d) of the unit cube on a curve that visits neighbours one after the other, int64."""
    unit = unit[:, :BITS]
    d = unit.shape[1]
    depth = min(BITS // d, FINEST)
    cells = (unit * 2**depth).long().clamp(0, 2**depth - 1)
    place = torch.zeros(len(unit), dtype=torch.int64, device=unit.device)
    for bit in range(depth):
        for axis in range(d):
            place |= (cells[:, axis] >> bit & 1) << (bit * d + axis)
    return place


def systematic(weights: Tensor, n: int, generator: Generator) -> Tensor:
    """Indices (n,), ascending and different, with probabilities in proportion to positive weights (m,), n <= m.

    Where that would be more than 1 an index is taken for certain, and the others share what is left.
    """
    largest = weights.sort(descending=True).values
    left = largest.flip(0).cumsum(0).flip(0)  # of the weights from each on
    scale = (n - torch.arange(n, device=weights.device)) / left[:n]  # if so many of the largest are certain
    count = int((scale * largest[:n] > 1).sum())  # those that are certain come first, for the scale falls behind them
    probability = (weights * scale[min(count, n - 1)]).clamp(max=1.0)
    start = torch.rand((), generator=generator, device=weights.device, dtype=weights.dtype)
    ticks = torch.arange(n, device=weights.device, dtype=weights.dtype) + start
    return torch.searchsorted(probability.cumsum(0), ticks).clamp(max=len(weights) - 1)
