"""What every prior, measurement, sampler and solver promises, on a Gaussian problem with a known answer.

Methods are found by their configs. The problem is the one that ``conf/diffusion/default.yaml`` names, made small.
"""

from __future__ import annotations

import math
import sys
from importlib.resources import files
from typing import Any

import pytest
import torch
from denoisers import trained
from hydra import compose, initialize_config_module
from hydra.utils import get_object, instantiate
from omegaconf import OmegaConf
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Sampler, Solver

SHAPE = (6, 1)
SENSORS = 3
N = 4096  # samples of a moment test


def options(slot: str) -> list[str]:
    """The methods of a slot, but for those that need files of a user's own."""
    found = {f.name.removesuffix(".yaml"): f for f in files("sciml.conf").joinpath(f"diffusion/{slot}").iterdir()}
    targets = {name: OmegaConf.create(f.read_text())["_target_"] for name, f in found.items()}
    return sorted(n for n, target in targets.items() if not getattr(get_object(target), "needs_files", False))


def shape_for(thing: Any) -> tuple[int, ...]:
    """Of small fields with as many axes and channels as a method, or its class, says that it needs."""
    axes, channels = getattr(thing, "axes", None), getattr(thing, "channels", None)
    return (*(axes or 1) * SHAPE[:1], channels or SHAPE[-1])


def build(slot: str, choice: str | None = None, shape: tuple[int, ...] | None = None, **parameters: Any) -> Any:
    """The object of one slot, in the family's default problem made small."""
    overrides = ["+diffusion=default", f"diffusion.shape={list(SHAPE)}"]
    solver = "solver" if slot == "solver" else None
    overrides.append(f"diffusion/solver={choice if solver else options('solver')[0]}")
    if slot == "sampler":
        overrides.append(f"+diffusion/sampler={choice}")
    elif choice is not None and not solver:
        overrides.append(f"diffusion/{slot}={choice}")
    if slot == "measurement":
        parameters.setdefault("sensors", SENSORS)
    with initialize_config_module("sciml.conf", version_base="1.3"):
        family = compose("config", overrides).diffusion
    config = family[slot]
    family.shape = list(shape or shape_for(get_object(config._target_)))
    if "steps" in parameters and "levels" in config:
        config.levels.steps = parameters["steps"]
    known = {key: value for key, value in parameters.items() if key in config}
    if not getattr(get_object(config._target_), "needs_run", False):
        return instantiate(config, **known, _convert_="all")
    # In place of a run that a prior is made of: one that has learned a Gaussian field without error.
    config.rank = min(math.prod(config.shape), config.rank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[get_object(config._target_).__module__], "finished", known_run)
        return instantiate(config, run="known", **known, _convert_="all")


def known_run(run: str, *, family: str, which: str) -> Any:
    return trained(SHAPE, N)


def moments(prior: Prior) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and covariance ``(d, d)`` of a Gaussian prior."""
    mean, covariance = prior.posterior(torch.zeros_like(prior.sample(1, stream("shape", 0))), math.inf)
    assert covariance is not None
    return mean.flatten(), covariance.dense(mean[0])


def matrix(measurement: Measurement) -> Tensor:
    """A as ``(m, d)``, column by column."""
    shape = shape_for(measurement)
    d = math.prod(shape)
    return measurement(torch.eye(d, dtype=torch.float64).reshape(d, *shape)).T


def z_scores(samples: Tensor, mean: Tensor, covariance: Tensor, claims: frozenset[str]) -> dict[str, float]:
    """Largest |z| of each claimed moment of ``samples`` ``(n, d)`` against the truth."""
    n, found = len(samples), {}
    if "mean" in claims:
        error = (samples.mean(0) - mean).abs()
        z = torch.where(error == 0, 0, error / (samples.std(0) / n**0.5))  # some entries are the same in all fields
        found["mean"] = z.max().item()
    if "covariance" in claims:
        values, vectors = torch.linalg.eigh(covariance)
        varies, along = values > 1e-10 * values.max(), (samples - mean) @ vectors
        if (along[:, ~varies].square() > 1e-10 * values.max()).any():  # out of the range of a singular covariance
            return {**found, "covariance": math.inf}
        white = (along[:, varies] / values[varies].sqrt()).T
        error = torch.cov(white) - torch.eye(len(white), dtype=torch.float64)
        # Entries of a sample covariance of white noise have the variance 1/n, on the diagonal 2/n.
        spread = torch.full_like(error, 1 / n**0.5).fill_diagonal_((2 / n) ** 0.5)
        found["covariance"] = (error / spread).abs().max().item()
    return found


# ---------------------------------------------------------------- solvers


def exact_posterior(prior: Prior, measurement: Measurement, y: Tensor) -> tuple[Tensor, Tensor]:
    """Brute force: invert the precision matrix, a formula that no solver here uses."""
    mean, covariance = moments(prior)
    a = matrix(measurement)
    precision = torch.linalg.inv(covariance) + a.T @ a / measurement.noise_std**2
    posterior = torch.linalg.inv(precision)
    return posterior @ (torch.linalg.solve(covariance, mean) + a.T @ y / measurement.noise_std**2), posterior


def observations(prior: Prior, measurement: Measurement) -> Tensor:
    y = measurement(prior.sample(2, stream("truth", 0)))
    return y + measurement.noise_std * normal(tuple(y.shape), stream("noise", 0), y)


def inverted_by(solver: Solver, **parameters: Any) -> Measurement:
    """The default measurement, or the first of the kind that the solver needs."""
    slot = files("sciml.conf").joinpath("diffusion/measurement")
    for name in ["points", *options("measurement")]:
        kind = get_object(OmegaConf.create(slot.joinpath(f"{name}.yaml").read_text())._target_)
        if isinstance(kind, type) and issubclass(kind, solver.measures):
            return build("measurement", name, **parameters)
    raise AssertionError(f"no measurement is a {solver.measures.__name__}")


@pytest.mark.parametrize("name", options("solver"))
def test_a_solver_matches_the_posterior_moments_that_it_claims(name: str) -> None:
    solver: Solver = build("solver", name)
    measurement = inverted_by(solver, noise_std=0.2)
    shape = shape_for(measurement)
    prior = build("prior", shape=shape, mean=0.7)
    assert solver.claims <= {"mean", "covariance"}
    n = N
    if not solver.claims:  # nothing to measure: that it runs is seen in few steps
        solver, n = build("solver", name, steps=8), 4
    y = observations(prior, measurement)
    # Two observations in one batch: the i-th sample belongs to the i-th row of y.
    rows = y.repeat_interleave(n, 0)
    x = solver(rows, measurement, prior, (2 * n, *shape), stream("solver", 0))
    assert x.shape == (2 * n, *shape)
    assert torch.isfinite(x).all()
    for samples, observed in zip(x.flatten(1).split(n), y, strict=True):
        z = z_scores(samples, *exact_posterior(prior, measurement, observed), solver.claims)
        assert all(value < 5 for value in z.values()), z


@pytest.mark.parametrize("name", options("solver"))
def test_a_solver_draws_from_its_generator_only(name: str) -> None:
    solver: Solver = build("solver", name, steps=8)
    measurement = inverted_by(solver)
    shape = shape_for(measurement)
    prior = build("prior", shape=shape)
    y = observations(prior, measurement)
    draws = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed + len(draws))  # the global generator must not matter
        draws.append(solver(y, measurement, prior, (2, *shape), stream("solver", seed)))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], draws[2]) is not solver.random


def test_the_moment_test_catches_planted_errors() -> None:
    prior, measurement = build("prior", mean=0.7), build("measurement", noise_std=0.2)
    y = observations(prior, measurement)[0]
    mean, covariance = exact_posterior(prior, measurement, y)
    factor = torch.linalg.cholesky(covariance)
    white = torch.randn(N, len(mean), dtype=torch.float64, generator=stream("white", 0))
    both = frozenset({"mean", "covariance"})
    right = z_scores(mean + white @ factor.T, mean, covariance, both)
    assert max(right.values()) < 5
    shifted = z_scores(mean + 0.15 * covariance.diagonal().sqrt() + white @ factor.T, mean, covariance, both)
    assert shifted["mean"] > 5
    narrow = z_scores(mean + 0.92 * white @ factor.T, mean, covariance, both)
    assert narrow["covariance"] > 5
    uncorrelated = z_scores(mean + white * covariance.diagonal().sqrt(), mean, covariance, both)
    assert uncorrelated["covariance"] > 5


# ---------------------------------------------------------------- priors


@pytest.mark.parametrize("name", options("prior"))
@pytest.mark.parametrize("sigma", [0.1, 1.0, 10.0])
def test_covariance_is_the_derivative_of_the_mean(name: str, sigma: float) -> None:
    """Second-order Tweedie: Cov[x|x_t] = sigma^2 dE[x|x_t]/dx_t, for every prior that has a covariance."""
    prior: Prior = build("prior", name)
    x_t = prior.sample(1, stream("truth", 0)) + sigma
    mean, covariance = prior.posterior(x_t, sigma)
    assert (covariance is not None) == prior.has_covariance
    if covariance is not None:
        jacobian = torch.func.jacrev(lambda x: prior.posterior(x[None], sigma).mean[0])(x_t[0])
        d = mean.numel()
        torch.testing.assert_close(covariance.dense(mean[0]), sigma**2 * jacobian.reshape(d, d))


@pytest.mark.parametrize("name", options("prior"))
@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_the_mean_is_the_best_guess_for_the_priors_own_samples(name: str, sigma: float) -> None:
    """x - E[x|x_t] has mean zero and is uncorrelated with x_t; its size is the trace of the covariance."""
    prior: Prior = build("prior", name)
    x = prior.sample(N, stream("truth", 1))
    x_t = x + sigma * torch.randn(x.shape, generator=stream("noise", 1), dtype=x.dtype)
    mean, covariance = prior.posterior(x_t, sigma)
    error, seen = (x - mean).flatten(1), x_t.flatten(1)
    products = torch.cat([error, (error[:, :, None] * seen[:, None, :]).flatten(1)], dim=1)
    assert (products.mean(0).abs() <= 5 * products.std(0) / N**0.5).all()  # both are 0 where nothing is random
    if covariance is not None and prior.gaussian:
        size = error.square().sum(1)
        expected = covariance.dense(mean[0]).trace()
        assert abs(size.mean() - expected) < 5 * size.std() / N**0.5


@pytest.mark.parametrize("name", options("prior"))
def test_a_gaussian_prior_agrees_with_brute_force_conditioning(name: str) -> None:
    prior: Prior = build("prior", name, mean=0.7)
    if not prior.gaussian:
        return
    mean, covariance = moments(prior)
    identity = torch.eye(len(mean), dtype=torch.float64)
    drawn = prior.sample(N, stream("truth", 2))
    z = z_scores(drawn.flatten(1), mean, covariance, frozenset({"mean", "covariance"}))
    assert max(z.values()) < 5, z
    for sigma in (0.05, 0.5, 5.0):
        x_t = drawn[:3] + sigma
        found = prior.posterior(x_t, sigma)
        # Joint normal of x and x_t: blocks S, S, S, S + sigma^2 I.
        gain = torch.linalg.solve(covariance + sigma**2 * identity, covariance)
        torch.testing.assert_close(found.mean.flatten(1), mean + (x_t.flatten(1) - mean) @ gain)
        assert found.covariance is not None
        torch.testing.assert_close(found.covariance.dense(x_t[0]), covariance - covariance @ gain)


@pytest.mark.parametrize("name", options("prior"))
@pytest.mark.parametrize("sigma", [0.0, 0.5])
def test_a_known_density_is_that_of_the_score(name: str, sigma: float) -> None:
    """E[x|x_t] = x_t + sigma^2 grad log p(x_t); of a Gaussian prior the density itself is known from elsewhere."""
    prior: Prior = build("prior", name)
    x = (prior.sample(3, stream("truth", 0)) + sigma).requires_grad_()
    density = prior.log_density(x, sigma)
    if density is None:
        return
    assert density.shape == (3,)
    (score,) = torch.autograd.grad(density.sum(), x)
    if sigma:
        torch.testing.assert_close(x + sigma**2 * score, prior.posterior(x, sigma).mean)
    if prior.gaussian:
        mean, covariance = moments(prior)
        covariance = covariance + sigma**2 * torch.eye(len(mean), dtype=torch.float64)
        law = torch.distributions.MultivariateNormal(mean, covariance)
        torch.testing.assert_close(density, law.log_prob(x.flatten(1)))


# ---------------------------------------------------------------- measurements


@pytest.mark.parametrize("name", options("measurement"))
def test_derivatives_agree_with_differences(name: str) -> None:
    measurement: Measurement = build("measurement", name)
    shape = shape_for(measurement)
    x, v = (torch.randn(2, *shape, dtype=torch.float64, generator=stream(c, 0)) for c in "xv")
    _, jvp = torch.func.jvp(measurement, (x,), (v,))
    differences = (measurement(x + 1e-5 * v) - measurement(x - 1e-5 * v)) / 2e-5
    torch.testing.assert_close(jvp, differences, rtol=1e-6, atol=1e-8)
    assert jvp.abs().max() > 0
    x.requires_grad_()
    w = torch.randn(jvp.shape, dtype=torch.float64, generator=stream("w", 0))
    (gradient,) = torch.autograd.grad((measurement(x) * w).sum(), x)
    torch.testing.assert_close((gradient * v).sum(), (jvp * w).sum())


@pytest.mark.parametrize("name", options("measurement"))
def test_a_linear_measurement_is_linear_and_its_adjoint_passes_the_dot_test(name: str) -> None:
    measurement: Measurement = build("measurement", name)
    if not isinstance(measurement, LinearMeasurement):
        return
    shape = shape_for(measurement)
    x, v = (torch.randn(2, *shape, dtype=torch.float64, generator=stream(c, 0)) for c in "xv")
    torch.testing.assert_close(measurement(2 * x - 3 * v), 2 * measurement(x) - 3 * measurement(v))
    y = torch.randn(measurement(x).shape, dtype=torch.float64, generator=stream("y", 0))
    assert measurement.adjoint(y).shape == x.shape
    left = (measurement(x) * y).flatten(1).sum(1)
    torch.testing.assert_close(left, (x * measurement.adjoint(y)).flatten(1).sum(1))
    assert left.abs().min() > 1e-3


@pytest.mark.parametrize("name", options("measurement"))
def test_every_application_is_counted(name: str) -> None:
    measurement: Measurement = build("measurement", name)
    y = measurement(torch.zeros(2, *shape_for(measurement), dtype=torch.float64))
    assert measurement.calls == 1
    if isinstance(measurement, LinearMeasurement):
        measurement.adjoint(y)
        assert measurement.calls == 2


# ---------------------------------------------------------------- samplers


def flow(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """Exact probability flow of a Gaussian from noise level sigma to 0: each eigenmode scales by its own sd."""
    mean, covariance = moments(prior)
    values, vectors = torch.linalg.eigh(covariance)
    scale = (values / (values + sigma**2)).sqrt()
    return (mean + (x.flatten(1) - mean) @ vectors * scale @ vectors.T).reshape(x.shape)


@pytest.mark.parametrize("name", options("sampler"))
def test_a_deterministic_sampler_has_its_declared_order(name: str) -> None:
    prior = build("prior", mean=0.7)
    errors = []
    for steps in (64, 128, 256):
        sampler: Sampler = build("sampler", name, steps=steps)
        if sampler.order is None:
            return
        start = sampler.sigma_max * normal((4, *SHAPE), stream("sampler", 0), torch.empty(0, dtype=torch.float64))
        found = sampler(prior, (4, *SHAPE), stream("sampler", 0))
        errors.append((found - flow(prior, start, sampler.sigma_max)).norm().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(sampler.order, abs=0.25), errors
    assert math.log2(errors[1] / errors[2]) == pytest.approx(sampler.order, abs=0.25), errors


@pytest.mark.parametrize("name", options("sampler"))
def test_samples_have_the_moments_of_the_prior(name: str) -> None:
    prior = build("prior", mean=0.7)
    sampler: Sampler = build("sampler", name, steps=200)
    samples = sampler(prior, (N, *SHAPE), stream("sampler", 1)).flatten(1)
    mean, covariance = moments(prior)
    assert z_scores(samples, mean, covariance, frozenset({"mean"}))["mean"] < 5
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (samples - mean).T, upper=False)
    assert torch.cov(white).diagonal().sub(1).abs().max() < 0.15
