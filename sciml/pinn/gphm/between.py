r"""Covariances between any points and a sorted grid, without an exponential or a cosine for each pair.

A component of a Student-t spectrum is, at distances d ≥ 0, the real part of a quadratic times an exponential, and so
are its derivatives,

.. math:: \kappa_q^{(k)}(d) = w_q \Re\, p_{qk}(d)\, e^{\lambda_q d}, \qquad \lambda_q = -a_q + 2\pi i \mu_q, \qquad
          p_{q,k+1} = p_{qk}' + \lambda_q p_{qk}.

With d = u + v, u the distance from a point to the next grid point on a side and v from there to another, e^{λ(u+v)}
is a product and p a quadratic in v: all covariances of a side are one product of a matrix of the points and a matrix
of the distances on the grid, (p, 6Q) and (6Q, n). Two such products replace the pnQ exponentials and cosines that take
most of the time of an evaluation; a Gaussian envelope is no such exponential and goes the long way.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.pinn.gphm.kernel import SpectralMixture, student_t

PAIRS = 2**17  # covariances of single components evaluated at a time: 1 MiB, which caches hold
POINTS = 512  # points whose covariances with the grid are evaluated at a time


def between(kernel: SpectralMixture, x: Tensor, grid: Tensor, order: int) -> list[Tensor]:
    """κ⁽ᵏ⁾(x_i - y_j) for k = 0, ..., order, (p, n) each, without graph.

    Args:
        kernel: The covariance.
        x: Points, (p,).
        grid: Equidistant points in ascending order, (n,).
        order: Highest derivative, at most 4.
    """
    with torch.no_grad():
        fast = kernel.envelope is student_t
        size = POINTS if fast else max(1, PAIRS // (len(grid) * len(kernel.mu) * (order + 1)))
        exponentials = _Exponentials(kernel, grid) if fast else None
        parts = [
            exponentials(part, order) if exponentials else kernel(part.unsqueeze(1) - grid, order)
            for part in x.split(size)
        ]
        return [torch.cat(part) for part in zip(*parts, strict=True)]


class _Exponentials:
    def __init__(self, kernel: SpectralMixture, grid: Tensor) -> None:
        self.grid, self.weight = grid, kernel.log_weight.exp()
        self.a = math.sqrt(5) * kernel.log_scale.exp()
        self.rate = torch.complex(-self.a, 2 * math.pi * kernel.mu)
        v = (grid - grid[0]).unsqueeze(1)
        falling = torch.exp(self.rate * v)
        table = torch.cat([falling, v * falling, v.square() * falling], 1)
        self.table = torch.cat([table.real, -table.imag], 1).T

    def __call__(self, x: Tensor, order: int) -> list[Tensor]:
        n = len(self.grid)
        # Grid points up to here lie left of x or at it: -1 to n - 1.
        cell = torch.searchsorted(self.grid, x, right=True) - 1
        left = self._side(x - self.grid[cell.clamp_min(0)], order)
        right = self._side(self.grid[(cell + 1).clamp_max(n - 1)] - x, order)
        # Beside each other as the grid lies: from the right neighbour on outwards, from the left neighbour on outwards.
        places = n + cell.unsqueeze(1) - torch.arange(n, device=x.device)
        return [
            torch.cat([(-1) ** k * beyond.flip(1), before], 1).gather(1, places)
            for k, (before, beyond) in enumerate(zip(left, right, strict=True))
        ]

    def _side(self, u: Tensor, order: int) -> list[Tensor]:
        """κ⁽ᵏ⁾(u + v) for the distances v on the grid, (p, n) each."""
        u = u.unsqueeze(1)
        start = self.weight * torch.exp(self.rate * u)
        one, two, three = torch.ones_like(self.rate), self.a + 0j, self.a.square() / 3 + 0j
        found = []
        for _ in range(order + 1):
            # Coefficients of 1, v and v² of p(u + v).
            features = [one + two * u + three * u.square(), two + 2 * three * u, three.expand(len(u), -1)]
            features = torch.cat([start * feature for feature in features], 1)
            found.append(torch.cat([features.real, features.imag], 1) @ self.table)
            one, two, three = two + self.rate * one, 2 * three + self.rate * two, self.rate * three
        return found
