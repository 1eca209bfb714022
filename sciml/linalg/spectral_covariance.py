r"""A covariance that is diagonal in a separable orthonormal basis,
:math:`\Sigma = Q\,\mathrm{diag}(v)\,Q^T` with :math:`Q = Q_1 \otimes Q_2 \otimes \dots`

One small matrix for each axis of the field; :math:`\Sigma` itself is never formed. Gaussian random fields
with Neumann conditions are of this kind, in the cosine basis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import final

import torch
from torch import Tensor, nn

from sciml.linalg.covariance import FactoredCovariance


def cosine_basis(n: int) -> Tensor:
    r"""Orthonormal DCT-II basis, ``(n, n)`` in float64.

    Row k holds :math:`\sqrt{(2 - \delta_{k0})/n}\,\cos(\pi k (j + 1/2) / n)` at the cell centres j.
    """
    j = torch.arange(n, dtype=torch.float64) + 0.5
    k = torch.arange(n, dtype=torch.float64)
    basis = torch.cos(math.pi / n * torch.outer(k, j)) * math.sqrt(2 / n)
    basis[0] /= math.sqrt(2)
    return basis


def fourier_basis(n: int) -> Tensor:
    r"""Orthonormal real Fourier basis of a periodic axis, ``(n, n)`` in float64.

    Row 0 is constant; rows :math:`2k - 1` and :math:`2k` hold :math:`\sqrt{2/n}` times the cosine and the sine of
    :math:`2\pi k j / n`; for an even n the last row alternates in sign.
    """
    j = torch.arange(n, dtype=torch.float64)
    k = torch.arange(1, n, dtype=torch.float64)[: n // 2]
    angle = 2 * math.pi / n * torch.outer(k, j)
    pairs = torch.stack([angle.cos(), angle.sin()], dim=1).reshape(-1, n) * math.sqrt(2 / n)
    if n % 2 == 0:
        pairs = pairs[:-1]  # the sine of the highest wave vanishes at every point
        pairs[-1] /= math.sqrt(2)
    return torch.cat([torch.full((1, n), 1 / math.sqrt(n), dtype=torch.float64), pairs])


def transform(x: Tensor, bases: Iterable[Tensor]) -> Tensor:
    """Multiply axis ``1 + a`` of ``x`` ``(batch, *shape)`` by ``bases[a]`` for every a."""
    for axis, basis in enumerate(bases, start=1):
        x = (x.movedim(axis, -1) @ basis.T).movedim(-1, axis)
    return x


@final
class Bases(nn.Module):
    """Of the axes of a grid, as parts of a module: they move with it, and are in no checkpoint.

    Args:
        bases: One orthonormal matrix for each axis, rows are basis functions.
    """

    def __init__(self, bases: Iterable[Tensor]) -> None:
        super().__init__()
        for axis, basis in enumerate(bases):
            self.register_buffer(f"axis{axis}", basis, persistent=False)

    def __iter__(self) -> Iterator[Tensor]:
        return self.buffers()


@final
class SpectralCovariance(FactoredCovariance):
    """Args:
        variance: Positive variance of every coefficient, ``(*axes, *rest)``.
        bases: One orthonormal matrix for each leading axis of a field, rows are basis functions; the
            remaining axes (channels) are independent of each other.

    Raises:
        ValueError: A variance is not positive.
    """

    def __init__(self, variance: Tensor, bases: Iterable[Tensor]) -> None:
        if not bool((variance > 0).all()):
            raise ValueError("every variance of a spectral covariance must be positive")
        self._variance, self._bases = variance, list(bases)
        self._back = [basis.T for basis in self._bases]

    def matvec(self, x: Tensor) -> Tensor:
        return transform(transform(x, self._bases) * self._variance, self._back)

    def root(self, z: Tensor) -> Tensor:
        return transform(z * self._variance.sqrt(), self._back)

    def variance(self) -> Tensor:
        return transform(self._variance[None], [basis.square() for basis in self._back])[0]
