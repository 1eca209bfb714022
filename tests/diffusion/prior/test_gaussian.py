from __future__ import annotations

import math

import torch

from sciml.diffusion.prior.gaussian import Gaussian


def test_the_spectrum_is_the_declared_power_law() -> None:
    prior = Gaussian(shape=(4, 6, 2), alpha=1.5, tau=2.0, std=3.0)
    ratio = prior.variance[2, 3, 1] / prior.variance[0, 1, 0]
    expected = ((math.pi**2 * 13 + 4) / (math.pi**2 + 4)) ** -1.5
    torch.testing.assert_close(ratio, torch.tensor(expected, dtype=torch.float64))
    point_variance = prior.posterior(torch.zeros(1, 4, 6, 2), math.inf).covariance.variance()
    torch.testing.assert_close(point_variance.mean(), torch.tensor(9.0, dtype=torch.float64))


def test_no_noise_returns_the_field_and_endless_noise_the_prior_mean() -> None:
    prior = Gaussian(shape=(8, 1), mean=0.5)
    x = prior.sample(2, torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.posterior(x, 1e-9).mean, x)
    torch.testing.assert_close(prior.posterior(x, 1e9).mean, torch.full_like(x, 0.5))


def test_one_entry_is_shrunk_by_hand() -> None:
    prior = Gaussian(shape=(1, 1), mean=1.0, std=2.0)
    mean, covariance = prior.posterior(torch.tensor([[[4.0]]], dtype=torch.float64), 1.0)
    torch.testing.assert_close(mean.flatten(), torch.tensor([1 + 4 / 5 * 3], dtype=torch.float64))
    torch.testing.assert_close(covariance.variance().flatten(), torch.tensor([4 / 5], dtype=torch.float64))
