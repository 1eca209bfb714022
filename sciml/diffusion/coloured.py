r"""Noise with a covariance: how everything made for white noise runs under it.

A diffusion model may be made with :math:`x_\sigma = x + \sigma C^{1/2}\epsilon` instead of white noise, such as one
whose fields are functions (Yao et al. 2025, *Guided Diffusion Sampling on Function Spaces*). In the coordinates

.. math:: z = C^{-1/2} x, \qquad z_\sigma = z + \sigma\epsilon, \qquad y = (A C^{1/2}) z + \eta

its noise is white. Samplers and solvers are run there (:func:`solve`) and know nothing of C: a gradient in z is
:math:`C\nabla` in x, as Tweedie's formula
:math:`E[x | x_\sigma, y] = x_\sigma + \sigma^2 C\,\nabla\log p(x_\sigma | y)` demands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Generator, Tensor, nn

from sciml.diffusion.base import LinearMeasurement, Measurement, Posterior, Prior, Solver
from sciml.linalg.covariance import Covariance
from sciml.linalg.spectral_covariance import Bases, SpectralCovariance, cosine_basis


class Noise(nn.Module, ABC):
    """A normal law with mean zero, the same for every channel, diagonal in the cosine basis of the grid.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.

    Attributes:
        variance: Of each cosine coefficient, ``shape``, positive.
        bases: Of the axes of the grid.
    """

    variance: Tensor

    def __init__(self, *, shape: tuple[int, ...]) -> None:
        super().__init__()
        variance = self.spectrum(tuple(shape[:-1]))
        self.register_buffer("variance", variance.unsqueeze(-1).expand(tuple(shape)).contiguous(), persistent=False)
        self.bases = Bases(cosine_basis(n) for n in shape[:-1])

    @abstractmethod
    def spectrum(self, grid: tuple[int, ...]) -> Tensor:
        """Variances of the cosine coefficients of one channel, ``grid``, float64."""

    @final
    def covariance(self, power: float = 1.0) -> SpectralCovariance:
        """A power of C."""
        return SpectralCovariance(self.variance**power, self.bases)


def solve(
    solver: Solver, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
) -> Tensor:
    """What the solver finds, in coordinates in which the noise of the prior is white.

    Args:
        solver: Any.
        y: Observations ``(batch, m)``.
        measurement: Of x.
        prior: Of x.
        shape: Of the samples, ``(batch, *grid, channels)``.
        generator: For all that is drawn.

    Returns:
        Samples of x.
    """
    if prior.noise is None:
        return solver(y, measurement, prior, shape, generator)
    half = prior.noise.covariance(0.5)
    white = White(prior, prior.noise)
    if isinstance(measurement, LinearMeasurement):
        z = solver(y, _LinearWhitened(measurement, half), white, shape, generator)
    else:
        z = solver(y, _Whitened(measurement, half), white, shape, generator)
    prior.backwards += white.backwards
    return half.matvec(z)


def physical(prior: Prior, z: Tensor) -> Tensor:
    """The fields ``(batch, *grid, channels)`` that are meant by those a solver works with."""
    return prior.root.matvec(z) if isinstance(prior, White) else z


@final
class White(Prior):
    """p(z).

    Args:
        prior: p(x).
        noise: Its noise.
    """

    def __init__(self, prior: Prior, noise: Noise) -> None:
        super().__init__()
        self._prior = [prior]  # no part of this module: it counts its evaluations itself
        self.root, self.inverse = noise.covariance(0.5), noise.covariance(-0.5)
        self.gaussian, self.has_covariance = prior.gaussian, prior.has_covariance  # of this one

    @property
    def device(self) -> torch.device:
        return self._prior[0].device

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        mean, covariance = self._prior[0].posterior(self.root.matvec(x_t), sigma)
        return Posterior(self.inverse.matvec(mean), None if covariance is None else _Between(covariance, self.inverse))

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.inverse.matvec(self._prior[0].sample(n, generator))

    def examples(self, n: int, generator: Generator) -> Tensor:
        return self.inverse.matvec(self._prior[0].examples(n, generator))


@final
class _Between(Covariance):
    r""":math:`C^{-1/2} \Sigma C^{-1/2}`."""

    def __init__(self, covariance: Covariance, inverse: SpectralCovariance) -> None:
        self._covariance, self._inverse = covariance, inverse
        self.shared = covariance.shared  # that one's

    def matvec(self, x: Tensor) -> Tensor:
        return self._inverse.matvec(self._covariance.matvec(self._inverse.matvec(x)))


@final
class _Whitened(Measurement):
    """A of the fields that z stand for; the measurement counts its calls itself."""

    def __init__(self, measurement: Measurement, half: SpectralCovariance) -> None:
        super().__init__(noise_std=measurement.noise_std)
        self._measurement, self._half = [measurement], half

    def forward(self, x: Tensor) -> Tensor:
        return self._measurement[0](self._half.matvec(x))


@final
class _LinearWhitened(LinearMeasurement):
    """The same of a linear one."""

    def __init__(self, measurement: LinearMeasurement, half: SpectralCovariance) -> None:
        super().__init__(noise_std=measurement.noise_std)
        self._measurement, self._half = [measurement], half

    def forward(self, x: Tensor) -> Tensor:
        return self._measurement[0](self._half.matvec(x))

    def transpose(self, y: Tensor) -> Tensor:
        return self._half.matvec(self._measurement[0].adjoint(y))
