r"""The best linear estimate from training samples, and draws around it: the floor that a learned prior must beat.

With the empirical mean and covariance of N samples of the prior in place of the true ones,

.. math:: x = x' + C_{xy} (C_{yy} + \sigma_y^2 I)^{-1} (y - y'), \qquad y' = A(x') + \eta',

:math:`x'` one of the samples: the update of an ensemble Kalman filter with perturbed observations (Evensen 2003, *The
Ensemble Kalman Filter*, section 4). Any measurement: the covariances are those of samples of x and A(x).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.ranges import Natural, Several


@final
class LMMSE(Solver):
    """No denoiser is evaluated.

    Args:
        pairs: Samples N of the prior.
        seed: Of these samples; not the run's.
    """

    def __init__(self, *, pairs: Several = 2000, seed: Natural = 0) -> None:
        self.pairs, self.seed = pairs, seed

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        x = prior.examples(self.pairs, stream("lmmse", self.seed))
        seen = measurement(x)
        flat, centred = x.flatten(1) - x.flatten(1).mean(0), seen - seen.mean(0)
        system = centred.T @ centred / (self.pairs - 1)
        system.diagonal().add_(measurement.noise_std**2)
        chosen = torch.randint(self.pairs, (len(y),), generator=generator).to(x.device)
        noisy = seen[chosen] + measurement.noise_std * normal(tuple(y.shape), generator, y)
        weights = torch.cholesky_solve((y - noisy).T, torch.linalg.cholesky(system)).T
        return (x[chosen].flatten(1) + weights @ (centred.T @ flat / (self.pairs - 1))).reshape(shape)
