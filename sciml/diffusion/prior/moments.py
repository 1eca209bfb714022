r"""The normal distribution with the mean and the covariance of another prior: all that its first two moments say.

.. math:: p(x) = N(\mu, \Sigma), \qquad \Sigma = V\,\mathrm{diag}(v)\,V^T, \qquad
          E[x|x_\sigma] = \mu + V\,\mathrm{diag}\Big(\frac{v}{v + \sigma^2}\Big) V^T (x_\sigma - \mu) .

The floor of what a generative model must beat. The covariance is a dense matrix of d x d numbers.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import ExactPosterior, LinearMeasurement, Measurement, Posterior, Prior
from sciml.diffusion.conditioning import GaussianPosterior
from sciml.linalg.dense_covariance import DenseModes, EigenCovariance
from sciml.ranges import Several


@final
class Moments(Prior):
    """Args:
    prior: The other one.
    examples: Of it, from which the moments are estimated where it does not know them exactly.
    """

    gaussian: bool = True
    has_covariance: bool = True
    mean: Tensor
    values: Tensor
    vectors: Tensor

    def __init__(self, *, prior: Prior, examples: Several = 2000) -> None:
        super().__init__()
        mean, matrix = _known(prior) or _estimated(prior.examples(examples, stream("moments/examples", 0)))
        values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
        self.register_buffer("mean", mean)
        self.register_buffer("values", values.clamp_min(0))
        self.register_buffer("vectors", vectors)
        self._modes: DenseModes | None = None  # one object for all noise levels, so that what is known of it is kept

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        if math.isinf(sigma):
            return Posterior(self.mean.expand(x_t.shape), self._covariance(self.values))
        gain = self.values / (self.values + sigma**2)
        mean = self.mean + self._covariance(gain).matvec(x_t - self.mean)
        return Posterior(mean, self._covariance(sigma**2 * gain))

    def _covariance(self, values: Tensor) -> EigenCovariance:
        if self._modes is None or self._modes.vectors is not self.vectors:  # the module may have moved
            self._modes = DenseModes(self.vectors, tuple(self.mean.shape))
        return EigenCovariance(self._modes, values)

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor | None:
        variance = self.values + sigma**2
        if variance.min() < 1e-14 * variance.max():
            return None  # there are directions in which nothing varies
        square = ((x - self.mean).flatten(1) @ self.vectors).square() / variance
        return -(square + (2 * math.pi * variance).log()).sum(1) / 2

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior | None:
        if not isinstance(measurement, LinearMeasurement):
            return None
        mean = self.mean.expand(len(y), *self.mean.shape)
        return GaussianPosterior(mean, self._covariance(self.values), measurement, y)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.mean + self._covariance(self.values).root(normal((n, *self.mean.shape), generator, self.mean))


def _known(prior: Prior) -> tuple[Tensor, Tensor] | None:
    """Mean as a field and covariance ``(d, d)``, where the prior has them."""
    if not prior.has_covariance:
        return None
    mean, covariance = prior.posterior(torch.zeros_like(prior.sample(1, stream("moments/shape", 0))), math.inf)
    return None if covariance is None else (mean[0], covariance.dense(mean[0]))


def _estimated(x: Tensor) -> tuple[Tensor, Tensor]:
    """The same from examples ``(n, *grid, channels)``."""
    d = x[0].numel()
    return x.mean(0), torch.cov(x.flatten(1).T).reshape(d, d)
