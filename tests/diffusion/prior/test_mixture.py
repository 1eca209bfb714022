from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from sciml.data.stream import stream
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.mixture import Mixture
from sciml.errors import ConfigError

SHAPE = (4, 1)


def test_its_moments_are_derivatives_of_the_log_density() -> None:
    """Tweedie: E[x|x_s] = x_s + s^2 d log p(x_s), the density from an independent library."""
    prior = Mixture(shape=SHAPE, components=3, spacing=1.5, std=0.8)
    x = prior.sample(3, stream("x", 0)).requires_grad_()
    sigma = 0.7
    law = MixtureSameFamily(Categorical(prior.weights), Independent(Normal(prior.means, math.hypot(0.8, sigma)), 1))
    (score,) = torch.autograd.grad(law.log_prob(x.flatten(1)).sum(), x)
    torch.testing.assert_close(prior.posterior(x, sigma).mean, x + sigma**2 * score)
    mean, covariance = prior.posterior(x.detach(), math.inf)
    assert covariance is not None
    torch.testing.assert_close(mean[0].flatten(), prior.weights @ prior.means)
    spread = prior.means - prior.weights @ prior.means
    expected = 0.64 * torch.eye(4, dtype=torch.float64) + spread.T @ (prior.weights[:, None] * spread)
    torch.testing.assert_close(prior.posterior(x[:1].detach(), math.inf).covariance.dense(x[0]), expected)  # type: ignore[union-attr]


def test_the_exact_posterior_is_that_of_importance_sampling() -> None:
    prior = Mixture(shape=SHAPE, components=3, spacing=1.5, std=0.8)
    points = Points(shape=SHAPE, sensors=2, noise_std=0.5)
    y = torch.tensor([[0.4, 1.0]], dtype=torch.float64)
    x = prior.sample(400_000, stream("x", 0))
    weights = (-(y - points(x)).square().sum(1) / (2 * 0.25)).softmax(0)
    flat = x.flatten(1)
    mean = weights @ flat
    variance = weights @ (flat - mean).square()
    posterior = prior.exact(points, y)
    likelihood = Normal(prior.means[:, points.index], math.hypot(0.8, 0.5)).log_prob(y).sum(1)  # independent entries
    expected = (prior.weights.log() + likelihood).softmax(0)
    torch.testing.assert_close(posterior.weights[0], expected)  # type: ignore[attr-defined]
    torch.testing.assert_close(posterior.mean.flatten(), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(posterior.variance.flatten(), variance, atol=0.02, rtol=0)
    drawn = prior.exact(points, y.repeat(40_000, 1)).sample(stream("draw", 0)).flatten(1)
    torch.testing.assert_close(drawn.mean(0), mean, atol=0.03, rtol=0)
    centred = flat - mean
    torch.testing.assert_close(torch.cov(drawn.T), (weights[:, None] * centred).T @ centred, atol=0.04, rtol=0)


def test_what_has_no_grid_of_means_is_refused() -> None:
    with pytest.raises(ConfigError, match="not 3 and 5"):
        Mixture(shape=(3, 1))
