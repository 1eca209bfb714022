r"""A covariance that is diagonal in a separable orthonormal basis but for a few directions,

.. math:: \Sigma = Q\,(D + F F^T)\,Q^T, \qquad D = \mathrm{diag}(v), \quad Q = Q_1 \otimes Q_2 \otimes \dots

Q acts on the axes of the grid (:mod:`sciml.linalg.spectral_covariance`) and leaves the channels apart; the r columns of
F couple everything with everything. All is done on coefficients, where D is diagonal.

With :math:`x_\sigma = x + \sigma\epsilon` the covariance of x given :math:`x_\sigma` is of the same kind, by the
formula of Woodbury (1950), *Inverting Modified Matrices*, for :math:`D + \sigma^2 I + F F^T`; as a sum of two positive
parts it is free of cancellation at any noise level:

.. math:: (\Sigma^{-1} + \sigma^{-2} I)^{-1} = Q\,(D_\sigma + F_\sigma F_\sigma^T)\,Q^T, \qquad
          D_\sigma = \sigma^2 D\,(D + \sigma^2)^{-1}, \qquad F_\sigma = \sigma^2 (D + \sigma^2)^{-1} F L^{-T}, \\
          L L^T = I + F^T (D + \sigma^2)^{-1} F .

A root has as many columns as there are entries, so that one standard normal field gives one sample:
:math:`Q D^{1/2} (I + G W\,\mathrm{diag}(1/(\sqrt{1 + s} + 1))\,W^T G^T)` with :math:`G = D^{-1/2} F` and
:math:`G^T G = W\,\mathrm{diag}(s)\,W^T`.

:func:`fitted` takes D and F from data: what couples coefficients is found along the leading principal components.
Rissanen et al. (2025), *Free Hunch*, begin with the diagonal in the cosine basis alone; the components beside it know
how channels depend on each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple, final

import torch
from torch import Generator, Tensor

from sciml.linalg.covariance import FactoredCovariance
from sciml.linalg.spectral_covariance import transform

_EXACT = 512  # examples or entries up to which all principal components are computed
_EXTRA = 16  # columns beyond 5/4 of the rank in the random search for the leading ones
_PASSES = 3  # times that the data sharpen these columns
_SWEEPS = 30  # of D and F; then they change by a few per cent at most
_STAYS = 1e-4  # change of D, in units of the mean variance, at which they end


@final
class LowRankCovariance(FactoredCovariance):
    """Args:
        spectrum: v, the positive variance of every coefficient beside the low-rank part, ``(*axes, *rest)``.
        factor: Columns of F, ``(r, *axes, *rest)``, on coefficients; r may be 0.
        bases: One orthonormal matrix for each leading axis of a field, rows are basis functions; the remaining axes
            (channels) are coupled by F only.

    Raises:
        ValueError: A variance is not positive, or the shapes do not go together.
    """

    def __init__(self, spectrum: Tensor, factor: Tensor, bases: Iterable[Tensor]) -> None:
        if factor.shape[1:] != spectrum.shape:
            raise ValueError(f"factor is {tuple(factor.shape)}, expected (r, {', '.join(map(str, spectrum.shape))})")
        if not bool((spectrum > 0).all()):
            raise ValueError("every variance of a low-rank covariance must be positive")
        self.spectrum, self.factor, self.bases = spectrum, factor, list(bases)
        self._back = [basis.T for basis in self.bases]
        self._d, self._f = spectrum.flatten(), factor.flatten(1)

    def posterior(self, sigma: float) -> LowRankCovariance:
        r"""The covariance of x given :math:`x + \sigma\epsilon`; with ``math.inf`` this one itself.

        Takes one product of F with itself and one triangular solve: :math:`2 d r^2` multiplications.

        Args:
            sigma: Positive noise level.
        """
        if math.isinf(sigma):
            return self
        gain = sigma**2 / (self._d + sigma**2)
        inner = (self._f * (gain / sigma**2)) @ self._f.T
        inner.diagonal().add_(1)
        rows = torch.linalg.solve_triangular(torch.linalg.cholesky(inner), self._f * gain, upper=False)
        spectrum = (self._d * gain).reshape(self.spectrum.shape)
        return LowRankCovariance(spectrum, rows.reshape(self.factor.shape), self.bases)

    def gram(self, x: Tensor) -> Tensor:
        """From coefficients, which need not be taken back to fields."""
        c = self._coefficients(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        along = c @ self._f.T
        return (c * self._d) @ c.mT + along @ along.mT

    def marginal(self, channel: int, channels: int) -> LowRankCovariance:
        """The basis leaves channels apart, so that it is of the same kind."""
        one = (..., slice(channel, channel + 1))
        return LowRankCovariance(self.spectrum[one], self.factor[one], self.bases)

    def matvec(self, x: Tensor) -> Tensor:
        c = self._coefficients(x)
        return self._field(c * self._d + (c @ self._f.T) @ self._f, x)

    def root(self, z: Tensor) -> Tensor:
        white, (weight, vectors) = z.flatten(1), self._half
        scaled = self._f / self._d.sqrt()
        inner = (white @ scaled.T) @ vectors * weight
        return self._field((white + inner @ vectors.T @ scaled) * self._d.sqrt(), z)

    def variance(self) -> Tensor:
        squares = [basis.square() for basis in self._back]
        of_columns = transform(self.factor, self._back).square().sum(0)
        return transform(self.spectrum[None], squares)[0] + of_columns

    def _coefficients(self, x: Tensor) -> Tensor:
        return transform(x, self.bases).flatten(1)

    def _field(self, c: Tensor, like: Tensor) -> Tensor:
        return transform(c.reshape(like.shape), self._back)

    @cached_property
    def _half(self) -> tuple[Tensor, Tensor]:
        """What the root weighs the eigenvectors of F^T D^-1 F with, and these."""
        values, vectors = torch.linalg.eigh((self._f / self._d) @ self._f.T)
        return 1 / ((1 + values.clamp_min(0)).sqrt() + 1), vectors


class LowRankFit(NamedTuple):
    """Mean and covariance of a data set.

    Attributes:
        mean: ``(*shape)``.
        spectrum: As of :class:`LowRankCovariance`, ``(*shape)``.
        factor: As of :class:`LowRankCovariance`, ``(rank, *shape)``.
        share: Part of the total variance that lies along the principal components, in [0, 1].
    """

    mean: Tensor
    spectrum: Tensor
    factor: Tensor
    share: float


def fitted(
    data: Tensor, bases: Sequence[Tensor], *, rank: int, generator: Generator, floor: float = 1e-8
) -> LowRankFit:
    r"""A covariance that agrees with the data's along each basis function and among the principal components.

    With the data's covariance C, its leading eigenvectors U and eigenvalues :math:`\Lambda`, all on coefficients,

    .. math:: F F^T = U\,(\Lambda - U^T D\,U)_+\,U^T, \qquad D = \mathrm{diag}(C - F F^T),

    one after the other until D stays or 30 times: the method of principal factors. With
    :math:`F F^T = U \Lambda U^T` the variance along U would be counted twice, by F and by D. Of large data sets U spans
    the leading part of a random subspace that the data have sharpened (Halko, Martinsson and Tropp 2011, *Finding
    Structure with Randomness*, algorithms 4.4 and 5.1).

    Args:
        data: Fields ``(n, *axes, *rest)``; computed with in float64.
        bases: As of :class:`LowRankCovariance`.
        rank: Number of components, at most n - 1 and at most the entries of a field; 0 for none.
        generator: Draws the subspace.
        floor: Least variance of a coefficient beside the components, in units of the mean variance of all.

    Raises:
        ValueError: There are fewer than two fields, they are all equal, or the rank is too large.
    """
    n, d = len(data), data[0].numel() if len(data) else 0
    if n < 2:
        raise ValueError(f"a covariance takes two fields or more, not {n}")
    if not 0 <= rank <= min(n - 1, d):
        raise ValueError(f"rank is {rank}; {n} fields of {d} entries have 0 to {min(n - 1, d)} principal components")
    mean = data.double().mean(0)
    rows = transform(data.double() - mean, bases).flatten(1) / math.sqrt(n - 1)
    total = rows.square().sum(0)
    if not float(total.sum()) > 0:
        raise ValueError("the fields are all equal: they have no covariance")
    values, vectors = _components(rows, rank, generator)
    least = floor * float(total.mean())
    spectrum = (total - values @ vectors.square()).clamp_min(least)
    factor = vectors
    for _ in range(_SWEEPS if rank else 0):
        before = spectrum
        coupled, turn = torch.linalg.eigh(torch.diag(values) - (vectors * spectrum) @ vectors.T)
        factor = (turn * coupled.clamp_min(0).sqrt()).T @ vectors
        spectrum = (total - factor.square().sum(0)).clamp_min(least)
        if float((spectrum - before).abs().max()) <= _STAYS * float(total.mean()):
            break
    shape = data.shape[1:]
    share = float(values.sum() / total.sum())
    return LowRankFit(mean, spectrum.reshape(shape), factor.flip(0).reshape(rank, *shape), share)


def _components(rows: Tensor, rank: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The leading squared singular values ``(rank,)`` and the right singular vectors ``(rank, d)``, largest first."""
    width = rank + rank // 4 + _EXTRA
    if min(rows.shape) > max(_EXACT, width):
        shape = (rows.shape[1], width)
        drawn = torch.randn(shape, generator=generator, dtype=rows.dtype, device=generator.device)
        found = torch.linalg.qr(rows @ drawn.to(rows.device)).Q
        for _ in range(_PASSES):
            found = torch.linalg.qr(rows @ torch.linalg.qr(rows.T @ found).Q).Q
        rows = found.T @ rows
    _, values, right = torch.linalg.svd(rows, full_matrices=False)
    return values[:rank].square(), right[:rank]
