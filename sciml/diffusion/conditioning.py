r"""Conditioning a normal distribution on a linear measurement with independent noise.

With :math:`x \sim N(\mu, \Sigma)`, :math:`y = A x + N(0, \sigma_y^2 I)` and
:math:`S = A\Sigma A^T + \sigma_y^2 I`

.. math:: E[x|y] = \mu + \Sigma A^T S^{-1} (y - A\mu), \qquad
          \mathrm{Cov}[x|y] = \Sigma - \Sigma A^T S^{-1} A \Sigma .

Rasmussen and Williams (2006), *Gaussian Processes for Machine Learning*, eq. 2.23 and 2.24. One m x m
matrix is formed and factored, for any number of observations.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import ExactPosterior, LinearMeasurement
from sciml.linalg.covariance import Covariance, FactoredCovariance, ModalCovariance


class Conditioning:
    """What is the same for every y: the gain of one measurement under one covariance.

    Args:
        covariance: Of x, shared by all observations.
        measurement: A and its noise.
        like: Any observations ``(batch, m)``; gives m, dtype and device.
        before: One for the same measurement. If its covariance had the modes of this one, little is left to do.
    """

    def __init__(
        self,
        covariance: Covariance,
        measurement: LinearMeasurement,
        like: Tensor,
        before: Conditioning | None = None,
    ) -> None:
        self._measurement = measurement
        identity = torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)
        self._modes = covariance.modes if isinstance(covariance, ModalCovariance) else None
        if isinstance(covariance, ModalCovariance):
            if before is not None and before._modes is self._modes:
                self._seen = before._seen
            else:
                self._seen = covariance.modes.analyse(measurement.adjoint(identity))
            self._rows = self._seen * covariance.weight  # row i: what U makes Sigma A^T e_i of
            system = self._seen @ self._rows.T
        else:
            self._rows = covariance.matvec(measurement.adjoint(identity))  # row i: Sigma A^T e_i
            system = measurement(self._rows)
        system = (system + system.T) / 2 + measurement.noise_std**2 * identity
        self._factor = torch.linalg.cholesky(system)

    def shift(self, x: Tensor, y: Tensor) -> Tensor:
        """``x + Sigma A^T S^-1 (y - A x)``, field by field; of the mean it gives the posterior mean.

        Args:
            x: Fields ``(batch, *grid, channels)``.
            y: Observations ``(batch, m)``.
        """
        weights = torch.cholesky_solve((y - self._measurement(x)).T, self._factor).T
        moved = torch.einsum("bm,m...->b...", weights, self._rows)
        return x + (moved if self._modes is None else self._modes.synthesise(moved))

    def variance(self, covariance: FactoredCovariance) -> Tensor:
        """Diagonal of the posterior covariance as a field ``(*grid, channels)``.

        Args:
            covariance: The one given to the constructor.
        """
        cross = self._rows if self._modes is None else self._modes.synthesise(self._rows)
        white = torch.linalg.solve_triangular(self._factor, cross.flatten(1), upper=False)
        return covariance.variance() - white.square().sum(0).reshape(cross.shape[1:])


@final
class GaussianPosterior(ExactPosterior):
    r"""The posterior of a Gaussian prior, drawn by Matheron's rule.

    With :math:`x' \sim p(x)` and :math:`y' = A x' + \eta'`,

    .. math:: x = x' + \Sigma A^T (A\Sigma A^T + \sigma_y^2 I)^{-1} (y - y')

    is a draw from p(x | y). Journel and Huijbregts (1978); Wilson et al. (2020), *Efficiently Sampling Functions from
    Gaussian Process Posteriors*, eq. 10. One solve, no iterations.

    Args:
        mean: Of the prior, broadcastable to ``(rows, *shape)``.
        covariance: Of the prior.
        measurement: A and its noise.
        y: Observations ``(rows, m)``.
    """

    def __init__(self, mean: Tensor, covariance: FactoredCovariance, measurement: LinearMeasurement, y: Tensor) -> None:
        self._prior_mean, self._covariance, self._measurement, self._y = mean, covariance, measurement, y
        self._conditioning = Conditioning(covariance, measurement, y)

    @property
    def mean(self) -> Tensor:
        return self._conditioning.shift(self._prior_mean, self._y)

    @property
    def variance(self) -> Tensor:
        return self._conditioning.variance(self._covariance)

    def sample(self, generator: Generator) -> Tensor:
        shape = (len(self._y), *self._prior_mean.shape[1:])
        x = self._prior_mean + self._covariance.root(normal(shape, generator, self._y))
        noise = self._measurement.noise_std * normal(tuple(self._y.shape), generator, self._y)
        return self._conditioning.shift(x, self._y - noise)
