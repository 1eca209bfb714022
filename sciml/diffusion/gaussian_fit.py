r"""A normal distribution fitted to fields, and its denoiser.

.. math:: E[x | x_\sigma] = \mu + \sigma^{-2} \Sigma_\sigma (x_\sigma - \mu), \qquad
          \Sigma_\sigma = (\Sigma^{-1} + \sigma^{-2} I)^{-1},

with the covariance of :mod:`sciml.linalg.low_rank_covariance`: diagonal along each axis in cosines, or in waves where
the axis closes, but for the leading principal components, which couple channels and coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.linalg.low_rank_covariance import LowRankCovariance, fitted
from sciml.linalg.spectral_covariance import Bases, cosine_basis, fourier_basis


@final
class GaussianFit(nn.Module):
    """Moves with the module that it is a part of; computes in float64.

    Args:
        data: Fields ``(n, *grid, channels)``.
        periodic: Of each axis of the grid.
        rank: Number of principal components.

    Attributes:
        mean: ``(*grid, channels)``.
        share: Part of the data's variance that lies along the components.

    Raises:
        ValueError: As :func:`sciml.linalg.low_rank_covariance.fitted`.
    """

    mean: Tensor
    spectrum: Tensor
    factor: Tensor

    def __init__(self, data: Tensor, periodic: Sequence[bool], *, rank: int) -> None:
        super().__init__()
        sizes = zip(data.shape[1:-1], periodic, strict=True)
        bases = [(fourier_basis if closed else cosine_basis)(n).to(data.device) for n, closed in sizes]
        fit = fitted(data, bases, rank=rank, generator=stream("gaussian-fit", 0))
        self.share = fit.share
        for name in ("mean", "spectrum", "factor"):
            self.register_buffer(name, getattr(fit, name), persistent=False)
        self.bases = Bases(bases)
        self._last: tuple[float, LowRankCovariance] | None = None

    def covariance(self, sigma: float) -> LowRankCovariance:
        """Of x given x with noise of this level; with ``math.inf`` of x itself. The newest one is kept."""
        if self._last is None or self._last[0] != sigma:
            self._last = (sigma, LowRankCovariance(self.spectrum, self.factor, self.bases).posterior(sigma))
        return self._last[1]

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """The best guess for fields with noise of this level, ``(n, *grid, channels)`` in float64."""
        if math.isinf(sigma):
            return self.mean.expand(x.shape)
        return self.mean + self.covariance(sigma).matvec(x - self.mean) / sigma**2
