r"""A mixture of normal distributions, every posterior of which is another one.

.. math:: p(x) = \sum_k w_k N(\mu_k, \Sigma_k) .

Given :math:`x_\sigma`, or :math:`y = A x + N(0, \sigma_y^2 I)`, of which the former is a case, it is the mixture of the
components' own posteriors with

.. math:: w_k' \propto w_k\,N(y; A\mu_k, A\Sigma_k A^T + \sigma_y^2 I) .

The default is that of Cardoso et al. (2024), *Monte Carlo Guided Diffusion for Bayesian Linear Inverse Problems*,
section 4.1: 25 components of unit covariance whose means repeat :math:`(8i, 8j)`, :math:`i, j \in \{-2, \dots, 2\}`.
Their weights are drawn as squares of normal numbers, normalised.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import ExactPosterior, LinearMeasurement, Measurement, Posterior, Prior
from sciml.errors import ConfigError
from sciml.linalg.covariance import Covariance
from sciml.ranges import Count, Natural, Positive


@final
class Mixture(Prior):
    """Components with isotropic covariances, which is all that a mixture needs to be far from normal.

    Args:
        shape: Shape of one field, ``(*grid, channels)``, with an even number of entries.
        components: Along each of the two axes on which the means lie; odd.
        spacing: Between two of them, in units of a field.
        std: Standard deviation of a component.
        seed: Of the weights; not the run's, so that all runs of a table share them.

    Raises:
        ConfigError: An odd number of entries, or an even one of components.
    """

    has_covariance: bool = True
    means: Tensor
    weights: Tensor

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        components: Count = 5,
        spacing: float = 8.0,
        std: Positive = 1.0,
        seed: Natural = 0,
    ) -> None:
        super().__init__()
        entries = math.prod(shape)
        if entries % 2 or components % 2 == 0:
            raise ConfigError(
                f"prior mixture needs an even number of entries and an odd one of components, not {entries} and"
                f" {components}"
            )
        self.shape, self.std = tuple(shape), std
        along = spacing * (torch.arange(components, dtype=torch.float64) - components // 2)
        pairs = torch.cartesian_prod(along, along)
        self.register_buffer("means", pairs.repeat(1, entries // 2))
        chi = torch.randn(len(pairs), dtype=torch.float64, generator=stream("mixture/weights", seed)).square()
        self.register_buffer("weights", chi / chi.sum())

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        x = x_t.flatten(1)
        if math.isinf(sigma):
            weights, gain, variance = self.weights.expand(len(x), -1), 0.0, self.std**2
        else:
            total = self.std**2 + sigma**2
            # The square of x is the same for all components.
            near = (x @ self.means.T - self.means.square().sum(1) / 2) / total
            weights = (self.weights.log() + near).softmax(1)
            gain, variance = self.std**2 / total, self.std**2 / total * sigma**2
        centre = weights @ self.means
        covariance = MixtureCovariance(weights, self.means, centre, 1 - gain, variance)
        return Posterior((gain * x + (1 - gain) * centre).reshape(x_t.shape), covariance)

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        variance = self.std**2 + sigma**2
        distance = (x.flatten(1)[:, None] - self.means).square().sum(-1)
        scale = self.means.shape[1] * math.log(2 * math.pi * variance) / 2
        return (self.weights.log() - distance / (2 * variance)).logsumexp(1) - scale

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior | None:
        return MixturePosterior(self, measurement, y) if isinstance(measurement, LinearMeasurement) else None

    def sample(self, n: int, generator: Generator) -> Tensor:
        chosen = torch.multinomial(self.weights.cpu(), n, replacement=True, generator=generator)
        x = self.means[chosen.to(self.means.device)].reshape(n, *self.shape)
        return x + self.std * normal(tuple(x.shape), generator, x)


@final
class MixtureCovariance(Covariance):
    """Of a mixture with a common isotropic covariance, one for each entry of a batch.

    Args:
        weights: ``(batch, components)``.
        means: Of the components of all entries, ``(components, d)``, up to a shift and ``scale``.
        centre: Their weighted means ``(batch, d)``.
        scale: From differences of ``means`` to those of the components' means.
        variance: Within each component.
    """

    def __init__(self, weights: Tensor, means: Tensor, centre: Tensor, scale: float, variance: float) -> None:
        self._weights, self._means, self._centre = weights, means, centre
        self._scale, self._variance = scale, variance

    def matvec(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        # Weighted, these sum up to zero: the centre need not be taken off a second time.
        along = self._weights * (flat @ self._means.T - (flat * self._centre).sum(1, keepdim=True))
        return (self._variance * flat + self._scale**2 * (along @ self._means)).reshape(x.shape)


@final
class MixturePosterior(ExactPosterior):
    """Args:
    prior: The mixture.
    measurement: A and its noise.
    y: Observations ``(rows, m)``.
    """

    def __init__(self, prior: Mixture, measurement: LinearMeasurement, y: Tensor) -> None:
        self._prior, self._y, self._measurement = prior, y, measurement
        entries = prior.means.shape[1]
        identity = torch.eye(entries, dtype=y.dtype, device=y.device).reshape(entries, *prior.shape)
        a = measurement(identity).T  # (m, d)
        system = prior.std**2 * a @ a.T + measurement.noise_std**2 * torch.eye(len(a), dtype=y.dtype, device=y.device)
        factor = torch.linalg.cholesky(system)
        residual = y[:, None] - prior.means @ a.T  # (rows, components, m)
        white = torch.linalg.solve_triangular(factor, residual.flatten(0, 1).T, upper=False)
        distance = white.square().sum(0).reshape(residual.shape[:2])
        self.weights = (prior.weights.log() - distance / 2).softmax(1)
        self._gain = prior.std**2 * torch.cholesky_solve(a, factor).T  # Sigma A^T S^-1, (d, m)
        self._means = prior.means + residual @ self._gain.T
        within = prior.std**2 * (1 - (self._gain * a.T).sum(1))
        flat = torch.einsum("nk,nkd->nd", self.weights, self._means)
        spread = torch.einsum("nk,nkd->nd", self.weights, (self._means - flat[:, None]).square())
        self._mean = flat.reshape(-1, *prior.shape)
        self._variance = (within + spread).reshape(-1, *prior.shape)

    @property
    def mean(self) -> Tensor:
        return self._mean

    @property
    def variance(self) -> Tensor:
        return self._variance

    def sample(self, generator: Generator) -> Tensor:
        y, prior = self._y, self._prior
        chosen = torch.multinomial(self.weights.cpu(), 1, generator=generator)[:, 0].to(y.device)
        centred = prior.std * normal((len(y), *prior.shape), generator, y)
        seen = self._measurement(centred) + self._measurement.noise_std * normal(tuple(y.shape), generator, y)
        mean = self._means[torch.arange(len(y), device=y.device), chosen]
        return (mean + centred.flatten(1) - seen @ self._gain.T).reshape(-1, *prior.shape)
