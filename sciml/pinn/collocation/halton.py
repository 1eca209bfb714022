"""Halton points, randomised: the digits of i in the base of the k-th prime, permuted and read behind the point.

    x_ik = Σ_l π_kl(a_l) b_k^(−l−1),   i = Σ_l a_l b_k^l

Source: Halton, "On the efficiency of certain quasi-random sequences of points in evaluating multi-dimensional
integrals", Numerische Mathematik 2 (1960), doi:10.1007/BF01386213; the random permutations π_kl of the digits, one for
each place, from Owen, "A randomized Halton algorithm in R", arXiv 1706.02808. Digits are kept up to the precision of
float64, those beyond n included, so that a point lies anywhere in its cell.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from sciml.pinn.collocation.low_discrepancy import LowDiscrepancy
from sciml.ranges import Count


class Halton(LowDiscrepancy):
    """A randomised Halton sequence, from its beginning.

    Args:
        every: Steps from one randomisation to the next; None keeps the first.
    """

    def __init__(self, *, every: Count | None = None) -> None:
        super().__init__(every=every)

    def unit(self, n: int, d: int, generator: Generator) -> Tensor:
        return torch.stack([_column(n, base, generator) for base in primes(d)], dim=1)


def _column(n: int, base: int, generator: Generator | None) -> Tensor:
    """The radical inverses (n,) of 0, ..., n − 1; with a generator, of randomly permuted digits."""
    device = "cpu" if generator is None else generator.device
    rest = torch.arange(n, device=device)
    found = torch.zeros(n, dtype=torch.float64, device=device)
    for place in range(1, math.ceil(53 * math.log(2) / math.log(base))):
        digits = rest % base
        if generator is not None:
            digits = torch.randperm(base, generator=generator, device=device)[digits]
        found += digits * float(base) ** -place
        rest = rest // base
    return found


def primes(count: int) -> list[int]:
    """The first primes."""
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found
