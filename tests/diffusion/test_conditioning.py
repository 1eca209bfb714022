from __future__ import annotations

import math

import torch

from sciml.diffusion.conditioning import Conditioning
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.source_solution import SourceSolution
from sciml.linalg.covariance import FactoredCovariance
from sciml.linalg.dense_covariance import DenseCovariance

SHAPE = (5, 1)


def test_it_equals_the_information_form() -> None:
    a = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = a @ a.T + 0.5 * torch.eye(5, dtype=torch.float64)
    points = Points(shape=SHAPE, sensors=3, noise_std=0.3)
    mean = torch.randn(2, *SHAPE, dtype=torch.float64)
    y = torch.randn(2, 3, dtype=torch.float64)
    found = Conditioning(DenseCovariance(sigma, SHAPE), points, y)
    matrix = points(torch.eye(5, dtype=torch.float64).reshape(5, *SHAPE)).T
    posterior = torch.linalg.inv(torch.linalg.inv(sigma) + matrix.T @ matrix / 0.09)
    shift = (y - mean.flatten(1) @ matrix.T) @ matrix @ posterior / 0.09
    torch.testing.assert_close(found.shift(mean, y).flatten(1), mean.flatten(1) + shift)
    torch.testing.assert_close(found.variance(DenseCovariance(sigma, SHAPE)).flatten(), posterior.diagonal())


def test_covariances_with_common_modes_are_conditioned_as_any_other() -> None:
    shape = (6, 6, 2)
    prior, points = SourceSolution(shape=shape), Points(shape=shape, sensors=9, noise_std=1e-3, channels=[0])
    x, y = prior.sample(2, torch.Generator().manual_seed(0)), torch.randn(2, 9, dtype=torch.float64)
    before = None
    for sigma, applied in ((math.inf, 1), (3.0, 1), (0.1, 0)):  # to modes, of which those of the prior are others
        covariance = prior.posterior(x, sigma).covariance
        assert isinstance(covariance, FactoredCovariance)
        calls = points.calls
        found = Conditioning(covariance, points, y, before)
        assert points.calls - calls == applied
        jitter = 1e-14 * torch.eye(72, dtype=torch.float64)  # it is singular
        expected = Conditioning(DenseCovariance(covariance.dense(x[0]) + jitter, shape), points, y)
        torch.testing.assert_close(found.shift(x, y), expected.shift(x, y), rtol=1e-6, atol=1e-8)
        plain = DenseCovariance(covariance.dense(x[0]) + jitter, shape)
        torch.testing.assert_close(found.variance(covariance), expected.variance(plain), rtol=1e-6, atol=1e-9)
        before = found
