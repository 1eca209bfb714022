from __future__ import annotations

import torch

from sciml.diffusion.conditioning import Conditioning
from sciml.diffusion.measurement.points import Points
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
