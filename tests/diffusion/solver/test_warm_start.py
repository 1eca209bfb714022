from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import Denoiser, Guidance, Measurement, Posterior, Prior, Sampler
from sciml.diffusion.conditioning import GaussianPosterior
from sciml.diffusion.guidance.moment_matching import MomentMatching
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.sampler.heun import Heun
from sciml.diffusion.solver.warm_start import WarmStart
from sciml.errors import RunError

SHAPE = (6, 1)


class Nothing(Sampler):
    """Stays where it starts, and looks at the denoiser there."""

    def __init__(self, sigma_max: float) -> None:
        self.sigma_max = sigma_max

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        x = self.sigma_max * torch.ones(shape, dtype=torch.float64)
        self.seen = prior.posterior(x, self.sigma_max).mean
        return x


class Remembers(Guidance):
    """Doubles the state, and keeps it."""

    state: Tensor

    def __call__(self, prior: Prior, measurement: Measurement, y: Tensor) -> Denoiser:
        def denoise(x: Tensor, sigma: float) -> Tensor:
            self.state = x
            return 2 * x

        return denoise


def problem(rows: int) -> tuple[Gaussian, Points, Tensor]:
    prior, measurement = Gaussian(shape=SHAPE, mean=0.7), Points(shape=SHAPE, sensors=3, noise_std=0.2)
    return prior, measurement, torch.tensor([[0.1, 1.2, -0.4]], dtype=torch.float64).expand(rows, -1)


def test_it_starts_at_a_draw_of_the_gaussian_posterior_with_noise() -> None:
    prior, measurement, y = problem(2)
    sampler, guidance = Nothing(0.5), Remembers()
    x = WarmStart(sampler=sampler, guidance=guidance)(y, measurement, prior, (2, *SHAPE), stream("s", 0))
    mean, covariance = prior.posterior(torch.zeros(1, *SHAPE, dtype=torch.float64), math.inf)
    assert covariance is not None
    drawn = GaussianPosterior(mean, covariance, measurement, y).sample(stream("s", 0))  # type: ignore[arg-type]
    torch.testing.assert_close(x, drawn + 0.5)
    torch.testing.assert_close(guidance.state, drawn + 0.5)  # the guidance sees the field itself,
    torch.testing.assert_close(sampler.seen, 2 * (drawn + 0.5) - drawn)  # the sampler its distance from the draw


def test_of_a_gaussian_nothing_is_lost_however_little_noise_is_added() -> None:
    """Mean and variance of many samples, from noise far below the field's own size and far above it."""
    n = 4096
    prior, measurement, y = problem(n)
    exact = prior.exact(measurement, y[:1])
    assert exact is not None
    for sigma_max in (0.05, 20.0):
        levels = Karras(steps=24, sigma_max=sigma_max, sigma_min=0.002)
        solver = WarmStart(sampler=Heun(levels=levels), guidance=MomentMatching())
        assert solver.claims == {"mean", "covariance"}
        x = solver(y, measurement, prior, (n, *SHAPE), stream("s", 1))
        z = (x.mean(0) - exact.mean[0]) / (x.std(0) / n**0.5)
        assert z.abs().max() < 5
        assert (x.var(0) / exact.variance.reshape(SHAPE) - 1).abs().max() < 5 * (2 / n) ** 0.5 + 0.01


def test_a_prior_without_a_covariance_of_its_own_is_refused() -> None:
    class Silent(Gaussian):  # type: ignore[misc]
        def forward(self, x_t: Tensor, sigma: float) -> Posterior:
            return super().forward(x_t, sigma)._replace(covariance=None)

    _, measurement, y = problem(1)
    solver = WarmStart(sampler=Nothing(1.0), guidance=Remembers())
    with pytest.raises(RunError, match="warm_start needs a prior that knows its own covariance; Silent does not"):
        solver(y, measurement, Silent(shape=SHAPE), (1, *SHAPE), stream("s", 0))
