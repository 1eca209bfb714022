"""What the approximate solvers reduce to where their approximation is exact, or their guidance vanishes."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Solver
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.sampler.ddim import DDIM
from sciml.diffusion.solver.daps import DAPS
from sciml.diffusion.solver.dds import DDS
from sciml.diffusion.solver.diffpir import DiffPIR
from sciml.diffusion.solver.dps import DPS
from sciml.diffusion.solver.exact import Exact
from sciml.diffusion.solver.lmmse import LMMSE
from sciml.diffusion.solver.mcg import MCG
from sciml.diffusion.solver.red_diff import REDDiff
from sciml.diffusion.solver.song2022 import Song2022

SHAPE = (6, 1)
PRIOR = Gaussian(shape=SHAPE, mean=0.4)
POINTS = Points(shape=SHAPE, sensors=3, noise_std=0.2)
Y = torch.tensor([[0.3, -0.2, 0.9]], dtype=torch.float64).repeat(5, 1)


def solve(solver: Solver, y: Tensor = Y, points: Points = POINTS) -> Tensor:
    return solver(y, points, PRIOR, (len(y), *SHAPE), stream("solver", 0))


def test_without_its_step_dps_is_the_ancestral_sampler() -> None:
    ancestral = DDIM(eta=1.0, levels=Karras(steps=6))(PRIOR, (5, *SHAPE), stream("solver", 0))
    torch.testing.assert_close(solve(DPS(zeta=0.0, levels=Karras(steps=6))), ancestral)
    assert (solve(DPS(zeta=0.5, levels=Karras(steps=6))) - ancestral).abs().max() > 1e-3


def test_a_step_of_dps_in_the_coordinates_of_the_paper() -> None:
    """Variance-preserving: x = x_sigma / sqrt(1 + sigma^2), ancestral step, minus zeta times the gradient in x."""
    found = solve(DPS(zeta=0.5, levels=Karras(steps=2, sigma_min=1.0, sigma_max=4.0)))
    generator, levels = stream("solver", 0), Karras(steps=2, sigma_min=1.0, sigma_max=4.0).values()
    state = levels[0] * normal((5, *SHAPE), generator, Y) / math.sqrt(1 + levels[0] ** 2)
    for sigma, following in ((levels[0], levels[1]), (levels[1], 0.0)):
        alpha, ahead = 1 / (1 + sigma**2), 1 / (1 + following**2)
        state = state.requires_grad_()
        mean = PRIOR.posterior(state / alpha**0.5, sigma).mean
        (gradient,) = torch.autograd.grad((Y - POINTS(mean)).norm(dim=1).sum(), state)
        state, mean = state.detach(), mean.detach()
        beta = 1 - alpha / ahead
        step = ahead**0.5 * beta / (1 - alpha) * mean + (alpha / ahead) ** 0.5 * (1 - ahead) / (1 - alpha) * state
        spread = ((1 - ahead) / (1 - alpha) * beta) ** 0.5
        if following:
            step = step + spread * normal((5, *SHAPE), generator, Y)
        state = step - 0.5 * gradient
    torch.testing.assert_close(found, state)


def test_without_its_weight_song2022_is_the_ancestral_sampler_of_another_stream() -> None:
    found = solve(Song2022(weight=0.0, levels=Karras(steps=4)))
    generator, levels = stream("solver", 0), Karras(steps=4, sigma_min=0.002, sigma_max=80.0).values()
    x = levels[0] * normal((5, *SHAPE), generator, Y)
    for sigma, following in pairwise(levels):
        normal((5, *SHAPE), generator, Y)  # drawn for observations that count for nothing
        mean, keep = PRIOR.posterior(x, sigma).mean, (following / sigma) ** 2
        x = mean + keep * (x - mean)
        if following:
            x = x + following * math.sqrt(1 - keep) * normal((5, *SHAPE), generator, Y)
    torch.testing.assert_close(found, x)


def test_a_step_of_song2022_projects_onto_noisy_observations_first() -> None:
    found = solve(Song2022(weight=1.0, levels=Karras(steps=2, sigma_min=1.0, sigma_max=4.0)))
    generator = stream("solver", 0)
    x = 4.0 * normal((5, *SHAPE), generator, Y)
    for sigma, following in ((4.0, 1.0), (1.0, 0.0)):
        x = x.clone()
        x.flatten(1)[:, POINTS.index] = Y + sigma * POINTS(normal((5, *SHAPE), generator, Y))
        mean, keep = PRIOR.posterior(x, sigma).mean, (following / sigma) ** 2
        x = mean + keep * (x - mean)
        if following:
            x = x + following * math.sqrt(1 - keep) * normal((5, *SHAPE), generator, Y)
    torch.testing.assert_close(found, x)


def test_projections_end_on_the_observations() -> None:
    torch.testing.assert_close(POINTS(solve(MCG(levels=Karras(steps=5)))), Y)
    assert (POINTS(solve(Song2022(levels=Karras(steps=5)))) - Y).abs().max() < 0.1


def test_damped_projections_stop_short_of_the_observations() -> None:
    """At sensors A A^T is the identity: a damping of 1/2 leaves a third of the way."""
    levels = Karras(steps=3, sigma_min=1.0, sigma_max=4.0)
    damped, shorter = (Song2022(weight=w, damping=d, levels=levels) for w, d in ((0.9, 0.5), (0.6, 0.0)))
    torch.testing.assert_close(solve(damped), solve(shorter))
    found = solve(MCG(alpha=0.0, damping=0.5, levels=Karras(steps=2, sigma_min=1.0, sigma_max=4.0)))
    generator = stream("solver", 0)
    x = 4.0 * normal((5, *SHAPE), generator, Y)
    for sigma, following in ((4.0, 1.0), (1.0, 0.0)):
        mean, keep = PRIOR.posterior(x, sigma).mean, (following / sigma) ** 2
        x, noisy = mean + keep * (x - mean), Y
        if following:
            x = x + following * math.sqrt(1 - keep) * normal((5, *SHAPE), generator, Y)
            noisy = Y + following * POINTS(normal((5, *SHAPE), generator, Y))
        x = x.clone()
        x.flatten(1)[:, POINTS.index] += (noisy - POINTS(x)) / 1.5
    torch.testing.assert_close(found, x)


def test_diffpir_takes_the_posterior_mean_under_a_white_covariance() -> None:
    found = solve(DiffPIR(weight=2.0, zeta=1.0, levels=Karras(steps=2, sigma_min=1.0, sigma_max=4.0)))
    generator = stream("solver", 0)
    x = 4.0 * normal((5, *SHAPE), generator, Y)
    for sigma, following in ((4.0, 1.0), (1.0, 0.0)):
        mean, rho = PRIOR.posterior(x, sigma).mean, 2.0 * 0.2**2 / sigma**2
        near = mean.clone()
        near.flatten(1)[:, POINTS.index] = (Y + rho * mean.flatten(1)[:, POINTS.index]) / (1 + rho)
        x = near + following * normal((5, *SHAPE), generator, Y)
    torch.testing.assert_close(found, x)


def test_enough_krylov_steps_solve_dds_and_noise_free_ones_keep_what_is_not_seen() -> None:
    for gamma in (3.0, None):
        found = solve(DDS(gamma=gamma, krylov=6, eta=0.0, levels=Karras(steps=2, sigma_min=1.0, sigma_max=4.0)))
        x = 4.0 * normal((5, *SHAPE), stream("solver", 0), Y)
        for sigma, following in ((4.0, 1.0), (1.0, 0.0)):
            mean = PRIOR.posterior(x, sigma).mean
            near, seen = mean.clone(), mean.flatten(1)[:, POINTS.index]
            near.flatten(1)[:, POINTS.index] = Y if gamma is None else (seen + gamma * Y) / (1 + gamma)
            x = near + following * (x - mean) / sigma
        torch.testing.assert_close(found, x)


def test_daps_draws_from_the_normal_law_around_its_guess() -> None:
    """One level and one Euler step: x0 ~ N(D, sigma^2 I) given y, in closed form where the sensors are."""
    y = Y[:1].repeat(20_000, 1)
    solver = DAPS(ode_steps=1, levels=Karras(steps=2, sigma_min=0.5, sigma_max=0.6))
    x = solver.begin(PRIOR, POINTS, y, stream("solver", 0))(torch.full((20_000, *SHAPE), 0.7).double(), 0.5, 0.0)
    guess = PRIOR.posterior(torch.full((1, *SHAPE), 0.7).double(), 0.5).mean.flatten()
    gain = 0.25 / (0.25 + 0.04)
    mean, variance = guess.clone(), torch.full((6,), 0.25).double()
    mean[POINTS.index] += gain * (Y[0] - guess[POINTS.index])
    variance[POINTS.index] *= 1 - gain
    assert ((x.flatten(1).mean(0) - mean) / (variance / 20_000).sqrt()).abs().max() < 5
    assert (x.flatten(1).var(0) / variance - 1).abs().max() < 5 * (2 / 20_000) ** 0.5


def test_red_diff_fits_the_observations_alone_without_its_prior() -> None:
    mu = solve(REDDiff(weight=0.0, levels=Karras(steps=400), lr=0.05))
    torch.testing.assert_close(POINTS(mu), Y, atol=1e-3, rtol=0)
    assert (mu.flatten(1)[:, [i for i in range(6) if i not in POINTS.index]] == 0).all()
    balanced = solve(REDDiff(weight=0.25, levels=Karras(steps=400), lr=0.05))
    assert 1e-3 < (POINTS(balanced) - Y).abs().max() < 0.3


def test_many_pairs_make_lmmse_exact_for_a_gaussian() -> None:
    y = Y[:1].repeat(20_000, 1)
    found, exact = (solve(solver, y).flatten(1) for solver in (LMMSE(pairs=20_000), Exact()))
    torch.testing.assert_close(found.mean(0), exact.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(found.T), torch.cov(exact.T), atol=0.05, rtol=0)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Karras, steps=1, sigma_min=0) == {}
    assert accepted(DDIM, eta=1.1) == {}
    assert accepted(DAPS, ode_steps=0) == {}
    assert accepted(DDS, gamma=0, krylov=0, eta=1.1) == {}
    assert accepted(DiffPIR, weight=0, zeta=1.1) == {}
    assert accepted(LMMSE, pairs=1) == {}
    assert accepted(MCG, damping=-0.1) == {}
    assert accepted(Song2022, weight=1.1, damping=-0.1) == {}
