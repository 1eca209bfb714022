from __future__ import annotations

import math

import torch
from refusals import accepted
from torch import Generator, Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import Posterior, Prior
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.mixture import Mixture
from sciml.diffusion.prior.moments import Moments

SHAPE = (4, 1)


class Bare(Prior):
    """Draws only; its examples are not its truths."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("at", torch.zeros(1))

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        raise NotImplementedError

    def sample(self, n: int, generator: Generator) -> Tensor:
        return torch.full((n, *SHAPE), math.nan, dtype=torch.float64)

    def examples(self, n: int, generator: Generator) -> Tensor:
        x = torch.randn(n, *SHAPE, dtype=torch.float64, generator=generator)
        return 3 + torch.cat([x[:, :1], x[:, :1] + 0.5 * x[:, 1:]], dim=1)


def test_of_a_normal_prior_it_is_that_prior() -> None:
    prior = Gaussian(shape=SHAPE, mean=0.4)
    same = Moments(prior=prior)
    x = prior.sample(3, stream("x", 0))
    for sigma in (0.1, 3.0, math.inf):
        found, wanted = same.posterior(x, sigma), prior.posterior(x, sigma)
        torch.testing.assert_close(found.mean, wanted.mean)
        assert found.covariance is not None
        assert wanted.covariance is not None
        torch.testing.assert_close(found.covariance.dense(x[0]), wanted.covariance.dense(x[0]))
    points = Points(shape=SHAPE, sensors=2, noise_std=0.3)
    y = points(x)
    found, wanted = same.exact(points, y), prior.exact(points, y)
    assert found is not None
    assert wanted is not None
    torch.testing.assert_close(found.mean, wanted.mean)
    torch.testing.assert_close(found.variance, wanted.variance)


def test_of_another_prior_it_has_the_moments_only() -> None:
    prior = Mixture(shape=SHAPE, components=3, spacing=2.0, std=0.5)
    normal = Moments(prior=prior)
    x = normal.sample(20_000, stream("x", 0))
    mean, covariance = prior.posterior(x[:1], math.inf)
    assert covariance is not None
    torch.testing.assert_close(x.mean(0), mean[0], atol=0.06, rtol=0)
    torch.testing.assert_close(torch.cov(x.flatten(1).T), covariance.dense(mean[0]), atol=0.12, rtol=0)
    mixed, alone = prior.log_density(x), normal.log_density(x)
    assert mixed is not None
    assert alone is not None
    assert (mixed - alone).abs().mean() > 0.5


def test_unknown_moments_are_estimated_and_directions_without_variance_have_no_density() -> None:
    prior = Moments(prior=Bare(), examples=4000)
    torch.testing.assert_close(prior.mean, torch.full(SHAPE, 3.0, dtype=torch.float64), atol=0.1, rtol=0)
    found = prior.posterior(prior.mean[None], math.inf).covariance
    assert found is not None
    wanted = torch.ones(4, 4).double() + torch.diag(torch.tensor([0.0, 0.25, 0.25, 0.25]).double())
    torch.testing.assert_close(found.dense(prior.mean), wanted, atol=0.1, rtol=0)
    few = Moments(prior=Bare(), examples=3)
    assert few.log_density(few.sample(2, stream("x", 0))) is None
    assert few.log_density(few.sample(2, stream("x", 0)), 0.1) is not None


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Moments, examples=1) == {}
