r"""Symmetric matrices on n x n coefficients that commute with the symmetries of the square.

Coefficient (i, j) of a product of modes of two axes; a mode is even or odd under the reflection of its axis as its
index is. A matrix that commutes with both reflections and with the exchange of the axes falls apart into

===============  =====================================  ==================
indices          basis                                  size
===============  =====================================  ==================
even, even       symmetric; antisymmetric               about n²/8 each
odd, odd         symmetric; antisymmetric               about n²/8 each
even, odd        symmetric; antisymmetric, one matrix   n²/4, twice
===============  =====================================  ==================

so that its eigenvectors cost about 1/50 of those of the whole, and a product with them 1/5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor

from sciml.linalg.latent_covariance import Eigenbasis


class Block(NamedTuple):
    """One part: parities of the two indices, and the signs under exchange that share its matrix."""

    parities: tuple[int, int]
    signs: tuple[int, ...]

    def pairs(self, n: int) -> tuple[Tensor, Tensor]:
        """Indices (i, j) of its basis, each pair once, out of n modes an axis."""
        i, j = (torch.arange(parity, n, 2) for parity in self.parities)
        first, second = (part.flatten() for part in torch.meshgrid(i, j, indexing="ij"))
        if self.parities[0] != self.parities[1]:
            return first, second
        kept = first <= second if self.signs == (1,) else first < second
        return first[kept], second[kept]

    def squared(self, matrix: Tensor) -> Tensor:
        r""":math:`A \otimes A` in this basis, for a matrix A ``(rows, columns)`` that keeps parities."""
        (r, s), (i, j) = (self.pairs(size) for size in matrix.shape)
        found = matrix[r][:, i] * matrix[s][:, j]
        if self.parities[0] == self.parities[1]:
            found += self.signs[0] * matrix[r][:, j] * matrix[s][:, i]
            found *= (_diagonal(r, s)[:, None] * _diagonal(i, j)).to(found)
        return found


BLOCKS = (Block((0, 0), (1,)), Block((0, 0), (-1,)), Block((1, 1), (1,)), Block((1, 1), (-1,)), Block((0, 1), (1, -1)))


def _diagonal(i: Tensor, j: Tensor) -> Tensor:
    """The norm of a pair's basis vector, over that of a pair of different indices."""
    return torch.where(i == j, 0.5, 1.0).double().sqrt()


@final
class SquareBasis(Eigenbasis):
    """Eigenvectors of such a matrix.

    Args:
        n: Modes an axis.
        parts: Eigenvalues ``(m,)`` and eigenvectors ``(m, m)``, as columns, of each of ``BLOCKS``.
    """

    def __init__(self, n: int, parts: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.n, self._vectors = n, [vectors for _, vectors in parts]
        device = parts[0][0].device
        i, j, sign = [], [], []
        for block in BLOCKS:
            pairs = block.pairs(n)
            for one in block.signs:
                i.append(pairs[0])
                j.append(pairs[1])
                sign.append(torch.full(pairs[0].shape, float(one), dtype=torch.float64))
        first, second, signs = torch.cat(i), torch.cat(j), torch.cat(sign)
        # The orthogonal change of coordinates z = weight * (w_ij + sign * w_ji), and its transpose the same way round.
        self._there = _Gather(first * n + second, second * n + first, signs, _diagonal(first, second) * 0.5**0.5)
        self._back = self._inverse(first, second, signs)
        self._there, self._back = self._there.to(device), self._back.to(device)
        self.values = torch.cat(
            [values.repeat(len(block.signs)) for block, (values, _) in zip(BLOCKS, parts, strict=True)]
        )
        self._sizes = [len(values) * len(block.signs) for block, (values, _) in zip(BLOCKS, parts, strict=True)]

    def _inverse(self, first: Tensor, second: Tensor, signs: Tensor) -> _Gather:
        n, order = self.n, torch.arange(len(first))
        plus, minus = (torch.zeros(n * n, dtype=torch.long) for _ in range(2))
        sign = torch.ones(n * n, dtype=torch.float64)
        for found, one in ((plus, 1), (minus, -1)):
            here = signs == one
            found[first[here] * n + second[here]] = order[here]
            found[second[here] * n + first[here]] = order[here]
            if one < 0:
                sign[second[here] * n + first[here]] = -1
        i, j = torch.arange(n).repeat_interleave(n), torch.arange(n).repeat(n)
        minus = torch.where(i == j, plus, minus)
        return _Gather(plus, minus, sign, _diagonal(i, j) * 0.5**0.5)

    def coordinates(self, w: Tensor) -> Tensor:
        return self._multiplied(self._there(w.flatten(1)), self._vectors)

    def combine(self, z: Tensor) -> Tensor:
        return self._back(self._multiplied(z, [vectors.T for vectors in self._vectors])).unflatten(1, (self.n, self.n))

    def _multiplied(self, z: Tensor, matrices: Sequence[Tensor]) -> Tensor:
        """Each part of the rows of ``z`` times its matrix; those of two signs as twice as many rows."""
        return torch.cat(
            [
                (part.reshape(-1, len(matrix)) @ matrix).reshape(part.shape)  # one product, not one a row
                for part, matrix in zip(z.split(self._sizes, 1), matrices, strict=True)
            ],
            1,
        )


class _Gather(NamedTuple):
    """``weight * (x[first] + sign * x[second])`` of each row."""

    first: Tensor
    second: Tensor
    sign: Tensor
    weight: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.weight * (x[:, self.first] + self.sign * x[:, self.second])

    def to(self, device: torch.device) -> _Gather:
        return _Gather(*(part.to(device) for part in self))
