"""Noise with a covariance C: the exact answers of white noise in z = C^-1/2 x, and those of x by brute force."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Solver
from sciml.diffusion.coloured import Noise, White, _LinearWhitened, physical, solve
from sciml.diffusion.drawing import Drawing
from sciml.diffusion.guidance.moment_matching import MomentMatching
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.noise.exponential import Exponential
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.residual.helmholtz import Helmholtz
from sciml.diffusion.sampler.dpmpp_2m import DPMpp2M
from sciml.diffusion.solver.diffusionpde import DiffusionPDE
from sciml.diffusion.solver.dps import DPS
from sciml.diffusion.solver.guided import Guided
from sciml.diffusion.solver.lmmse import LMMSE
from sciml.diffusion.solver.unconditional import Unconditional

SHAPE = (4, 5, 2)
NOISE = Exponential(shape=SHAPE, length=0.3, nugget=0.1)
PRIOR = Gaussian(shape=SHAPE, mean=0.7, noise=NOISE)
POINTS = Points(shape=SHAPE, sensors=6, noise_std=0.2)
LEVELS = Karras(steps=6, sigma_max=5.0)


class Same(Noise):
    """C = I."""

    def spectrum(self, grid: tuple[int, ...]) -> Tensor:
        return torch.ones(grid, dtype=torch.float64)


class Squares(Measurement):
    """A measurement that is not linear."""

    def forward(self, x: Tensor) -> Tensor:
        return POINTS.forward(x) ** 2


def observed(rows: int, measurement: Measurement = POINTS) -> Tensor:
    y = measurement(PRIOR.sample(rows, stream("truth", 0)))
    return y + measurement.noise_std * normal(tuple(y.shape), stream("noise", 0), y)


@pytest.mark.parametrize("length", [0.02, 0.3, 1.0])
def test_the_covariance_is_the_kernel_reflected_in_the_walls(length: float) -> None:
    n, m, reach = 4, 3, 30
    noise = Exponential(shape=(n, m, 1), length=length, nugget=0.1)
    found = noise.covariance().dense(torch.zeros(n, m, 1, dtype=torch.float64)).reshape(n, m, n, m)

    def images(points: int) -> Tensor:
        """Places of each point's mirror images in walls at 0 and 1, ``(points, images)``."""
        x = (torch.arange(points, dtype=torch.float64) + 0.5) / points
        shifts = 2 * torch.arange(-reach, reach + 1, dtype=torch.float64)
        return torch.cat([x[:, None] + shifts, -x[:, None] + shifts], 1)

    x, y = images(n), images(m)
    for i, j in ((0, 0), (1, 2)):
        dx, dy = (x - (i + 0.5) / n)[:, None, :, None], (y - (j + 0.5) / m)[None, :, None, :]
        expected = torch.exp(-(dx.square() + dy.square()).sqrt() / length).sum((2, 3))
        expected[i, j] += 0.1**2
        torch.testing.assert_close(found[i, j], expected, rtol=1e-6, atol=1e-8)


def test_channels_of_the_noise_are_alike_and_independent() -> None:
    dense = NOISE.covariance().dense(torch.zeros(SHAPE, dtype=torch.float64)).reshape(20, 2, 20, 2)
    torch.testing.assert_close(dense[:, 0, :, 0], dense[:, 1, :, 1])
    assert dense[:, 0, :, 1].abs().max() == 0


def test_denoising_under_coloured_noise_is_that_of_the_joint_normal_law() -> None:
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    mean, covariance = PRIOR.posterior(zero, math.inf)
    assert covariance is not None
    prior, noise = covariance.dense(zero[0]), NOISE.covariance().dense(zero[0])
    x_t = PRIOR.sample(2, stream("x", 0)) + 0.3
    for sigma in (0.1, 2.0):
        gain = torch.linalg.solve(prior + sigma**2 * noise, prior).T
        found = PRIOR.posterior(x_t, sigma)
        torch.testing.assert_close(
            found.mean.flatten(1), (mean + (x_t - mean).flatten(1).mm(gain.T).view_as(x_t)).flatten(1)
        )
        assert found.covariance is not None
        torch.testing.assert_close(found.covariance.dense(zero[0]), prior - gain @ prior)


def test_in_z_the_noise_is_white() -> None:
    """There Tweedie's second formula holds, Cov[z | z_t] = sigma^2 dE[z | z_t] / dz_t, and z_t = C^-1/2 x_t."""
    white, sigma = White(PRIOR, NOISE), 0.4
    z_t = white.sample(1, stream("z", 0)) + 0.2
    mean, covariance = white.posterior(z_t, sigma)
    assert covariance is not None
    assert covariance.shared
    jacobian = torch.func.jacrev(lambda z: white.posterior(z[None], sigma).mean[0])(z_t[0])
    torch.testing.assert_close(covariance.dense(z_t[0]), sigma**2 * jacobian.reshape(40, 40))
    torch.testing.assert_close(PRIOR.posterior(physical(white, z_t), sigma).mean, physical(white, mean))
    torch.testing.assert_close(physical(white, white.sample(2, stream("z", 0))), PRIOR.sample(2, stream("z", 0)))
    torch.testing.assert_close(physical(white, white.examples(2, stream("z", 0))), PRIOR.sample(2, stream("z", 0)))
    assert physical(PRIOR, z_t) is z_t


def test_the_measurement_of_z_passes_the_dot_test() -> None:
    whitened: LinearMeasurement = _LinearWhitened(POINTS, NOISE.covariance(0.5))
    z, y = (torch.randn(2, *s, dtype=torch.float64, generator=stream("zy", 0)) for s in (SHAPE, (6,)))
    torch.testing.assert_close(whitened(z), POINTS(NOISE.covariance(0.5).matvec(z)))
    torch.testing.assert_close((whitened(z) * y).sum(1), (z * whitened.adjoint(y)).flatten(1).sum(1))


@pytest.mark.parametrize("measurement", [POINTS, Squares(noise_std=0.2)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: DPS(zeta=0.5, levels=LEVELS),
        lambda: DiffusionPDE(zeta=[0.5, 0.1], levels=LEVELS),
        lambda: LMMSE(pairs=50),
    ],
)
def test_with_the_identity_for_its_covariance_nothing_changes(
    measurement: Measurement, make: Callable[[], Solver]
) -> None:
    plain, same = Gaussian(shape=SHAPE, mean=0.7), Gaussian(shape=SHAPE, mean=0.7, noise=Same(shape=SHAPE))
    y, draws = observed(3, measurement), []
    for prior in (plain, same):
        draws.append(solve(make(), y, measurement, prior, (3, *SHAPE), stream("solver", 0)))
    torch.testing.assert_close(draws[0], draws[1])
    assert (plain.evaluations, plain.backwards) == (same.evaluations, same.backwards)


def test_gradients_are_steps_of_c_times_the_gradient_in_x() -> None:
    """DiffusionPDE transcribed in x: coloured noise at the start, Heun's steps, C times the gradients."""
    residual, y = Helmholtz(k=1.0, scale=(2.0, 0.1)), observed(3)
    solver = DiffusionPDE(zeta=0.3, zeta_pde=0.05, residual=residual, late=0.5, levels=LEVELS)
    found = solve(solver, y, POINTS, PRIOR, (3, *SHAPE), stream("solver", 0))
    levels, covariance = LEVELS.values(), NOISE.covariance()
    x = NOISE.covariance(0.5).matvec(levels[0] * normal((3, *SHAPE), stream("solver", 0), y))
    for i, (sigma, following) in enumerate(pairwise(levels)):
        x = x.detach().requires_grad_()
        denoised = PRIOR.posterior(x, sigma).mean
        slope = (x - denoised) / sigma
        ahead = x + (following - sigma) * slope
        if following:
            denoised = PRIOR.posterior(ahead, following).mean
            ahead = x + (following - sigma) * (slope + (ahead - denoised) / following) / 2
        loss = 0.3 * (y - POINTS(denoised)).norm(dim=1)
        if i > 3:
            loss = 0.1 * loss + 0.05 * residual(denoised).flatten(1).norm(dim=1) / 6
        x = (ahead - covariance.matvec(torch.autograd.grad(loss.sum(), x)[0])).detach()
    torch.testing.assert_close(found, x)


def test_moment_matching_draws_from_the_same_exact_posterior() -> None:
    n, y = 1024, observed(1)
    solver = Guided(sampler=DPMpp2M(levels=Karras(steps=60)), guidance=MomentMatching())
    x = solve(solver, y.repeat(n, 1), POINTS, PRIOR, (n, *SHAPE), stream("solver", 0)).flatten(1)
    zero = torch.zeros(SHAPE, dtype=torch.float64)
    prior = PRIOR.posterior(zero[None], math.inf)
    assert prior.covariance is not None
    a = POINTS(torch.eye(40, dtype=torch.float64).reshape(40, *SHAPE)).T
    posterior = torch.linalg.inv(torch.linalg.inv(prior.covariance.dense(zero)) + a.T @ a / 0.2**2)
    mean = prior.mean.flatten() + posterior @ a.T @ (y[0] - a @ prior.mean.flatten()) / 0.2**2
    assert ((x.mean(0) - mean) / (x.std(0) / n**0.5)).abs().max() < 5
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(posterior), (x - mean).T, upper=False)
    error = (torch.cov(white) - torch.eye(40, dtype=torch.float64)) * n**0.5
    error.diagonal().div_(2**0.5)  # entries of a sample covariance of white noise have variance 1, on the diagonal 2
    assert error.abs().max() < 5
    # It is the exact answer for white noise too, but not by the same path: the start is coloured.
    plain = solver(y.repeat(4, 1), POINTS, Gaussian(shape=SHAPE, mean=0.7), (4, *SHAPE), stream("solver", 0))
    assert (plain.flatten(1) - x[:4]).abs().max() > 1e-3


def test_samples_without_observations_are_those_of_the_prior() -> None:
    sampler = DPMpp2M(levels=Karras(steps=30))
    x = solve(Unconditional(sampler=sampler), observed(1), POINTS, PRIOR, (2048, *SHAPE), stream("solver", 0)).flatten(
        1
    )
    zero = torch.zeros(1, *SHAPE, dtype=torch.float64)
    prior = PRIOR.posterior(zero, math.inf)
    assert prior.covariance is not None
    assert ((x.mean(0) - 0.7) / (x.std(0) / 1024**0.5)).abs().max() < 5
    factor = torch.linalg.cholesky(prior.covariance.dense(zero[0]))
    white = torch.linalg.solve_triangular(factor, (x - 0.7).T, upper=False)
    assert (torch.cov(white).diagonal() - 1).abs().max() < 0.2


def test_a_run_solves_under_the_prior_s_noise_and_counts_its_calls() -> None:
    y, solver = observed(2), DPS(zeta=0.0, levels=LEVELS)
    draw = Drawing(solver, POINTS, PRIOR, SHAPE, samples=2, seed=0)
    found = draw(y, stream("solver", 0))
    again = solve(solver, y.repeat_interleave(2, 0), POINTS, PRIOR, (4, *SHAPE), stream("solver", 0))
    torch.testing.assert_close(found.flatten(0, 1), again)
    assert draw.calls == {"operator_calls": 6, "network_evaluations": 6, "backward_passes": 6}


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Exponential, length=1.1, nugget=0) == {}
