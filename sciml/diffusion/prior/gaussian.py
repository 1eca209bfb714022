r"""Gaussian random field that is diagonal in the cosine basis (Neumann boundary).

.. math:: p(x) = N(\mu, \Sigma), \qquad \Sigma = Q\,\mathrm{diag}(v_k)\,Q^T, \qquad
          v_k \propto (\pi^2 |k|^2 + \tau^2)^{-\alpha},

:math:`Q` the orthonormal DCT-II basis, scaled to a mean point variance of ``std**2``. The law is that of the
sources in Huang et al. (2024), *DiffusionPDE*, which take alpha 2 and tau 3. Deviation: the constant mode
is kept, so that the covariance is regular.

Everything about it is known in closed form: with :math:`x_\sigma = x + \sigma\epsilon`

.. math:: E[x|x_\sigma] = \mu + \Sigma(\Sigma + \sigma^2 I)^{-1}(x_\sigma - \mu), \qquad
          \mathrm{Cov}[x|x_\sigma] = \sigma^2\Sigma(\Sigma + \sigma^2 I)^{-1} ,

and the same with C for I where the noise has that covariance, diagonal in the same basis.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import ExactPosterior, LinearMeasurement, Measurement, Posterior, Prior
from sciml.diffusion.coloured import Noise
from sciml.diffusion.conditioning import GaussianPosterior
from sciml.linalg.spectral_covariance import Bases, SpectralCovariance, cosine_basis, transform
from sciml.ranges import Count, NonNegative, Positive


@final
class Gaussian(Prior):
    """A Gaussian random field on cell centres of the unit cube.

    Args:
        shape: Shape of one field, ``(*grid, channels)``; channels are independent.
        alpha: Smoothness.
        tau: Inverse length scale.
        mean: The same everywhere.
        std: Root of the point variance, averaged over the grid.
        noise: Of its noisy versions; None for white noise.
    """

    gaussian: bool = True
    has_covariance: bool = True
    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        alpha: Positive = 2.0,
        tau: NonNegative = 3.0,
        mean: float = 0.0,
        std: Positive = 1.0,
        noise: Noise | None = None,
    ) -> None:
        super().__init__()
        self.noise = noise
        grid = tuple(shape[:-1])
        squares = [(math.pi * torch.arange(n, dtype=torch.float64)) ** 2 for n in grid]
        total = torch.stack(torch.meshgrid(*squares, indexing="ij")).sum(0)
        variance = (total + tau**2) ** (-alpha)
        variance = (variance * std**2 / variance.mean()).unsqueeze(-1).expand(tuple(shape)).contiguous()
        self.register_buffer("variance", variance)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64))
        self.bases = Bases(cosine_basis(n) for n in grid)

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        if math.isinf(sigma):
            return Posterior(self.mean.expand(x_t.shape), SpectralCovariance(self.variance, self.bases))
        added = sigma**2 if self.noise is None else sigma**2 * self.noise.variance
        gain = self.variance / (self.variance + added)
        back = [basis.T for basis in self.bases]
        mean = self.mean + transform(transform(x_t - self.mean, self.bases) * gain, back)
        return Posterior(mean, SpectralCovariance(added * gain, self.bases))

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        variance = self.variance + (sigma**2 if self.noise is None else sigma**2 * self.noise.variance)
        square = transform(x - self.mean, self.bases).square() / variance
        return -(square + (2 * math.pi * variance).log()).flatten(1).sum(1) / 2

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior | None:
        if not isinstance(measurement, LinearMeasurement):
            return None
        mean = self.mean.expand(len(y), *self.variance.shape)
        return GaussianPosterior(mean, SpectralCovariance(self.variance, self.bases), measurement, y)

    def sample(self, n: int, generator: Generator) -> Tensor:
        z = normal((n, *self.variance.shape), generator, self.variance)
        return self.mean + SpectralCovariance(self.variance, self.bases).root(z)
