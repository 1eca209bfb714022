"""Samplers in the time of a process, against transcriptions and against exact laws."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from refusals import accepted
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion import reverse
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.process import SDE
from sciml.diffusion.reverse import Reverse
from sciml.diffusion.sampler.euler_maruyama import EulerMaruyama
from sciml.diffusion.sampler.flow import Flow
from sciml.diffusion.sampler.ode import ODE
from sciml.diffusion.sampler.predictor_corrector import PredictorCorrector
from sciml.diffusion.sampler.reverse_diffusion import ReverseDiffusion
from sciml.diffusion.sde.subvp import SubVP
from sciml.diffusion.sde.ve import VE
from sciml.diffusion.sde.vp import VP
from sciml.errors import ConfigError

SHAPE = (3, 1)
PROCESSES = [VE(sigma_min=0.002), VP(), SubVP()]


def noise(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return normal(shape, generator, torch.empty(0, dtype=torch.float64))


def variance_error(sampler: Reverse, sde: SDE, steps: int, monkeypatch: pytest.MonkeyPatch) -> float:
    """Of samples of a scalar normal prior, without drawing any.

    There the sampler is linear in the noise that it draws: one run for each number, with that one 1 and the others 0.
    """
    prior = Gaussian(shape=(1, 1), std=0.5)
    drawn = torch.eye(steps + 1, dtype=torch.float64).reshape(steps + 1, steps + 1, 1, 1).unbind(0)
    numbers = iter(drawn[1:])
    begin = math.hypot(0.5 * sde.marginal(1.0)[0], sde.marginal(1.0)[1])  # the law at time 1, not what stands for it
    monkeypatch.setattr(reverse, "start", lambda prior, shape, sigma, generator: begin * drawn[0])
    monkeypatch.setattr(reverse, "normal", lambda shape, generator, like: next(numbers))
    variance = sampler(prior, (steps + 1, 1, 1), stream("unused", 0)).square().sum().item()
    mean, std = sde.marginal(sde.t_min)
    exact = 0.25**2 * mean**2 / (0.25 * mean**2 + std**2)  # of the denoised state at t_min
    return variance - exact


@pytest.mark.parametrize("kind", [EulerMaruyama, ReverseDiffusion])
# Over all noise levels the first-order errors of VE cancel for a normal law; up to that of the data they do not.
@pytest.mark.parametrize("sde", [VE(sigma_max=0.5), VP(), SubVP()], ids=["ve", "vp", "subvp"])
def test_the_variance_converges_with_order_one(
    kind: type[EulerMaruyama | ReverseDiffusion], sde: SDE, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [variance_error(kind(sde=sde, steps=n), sde, n, monkeypatch) for n in (200, 400, 800)]
    for coarse, fine in pairwise(errors):
        assert math.log2(coarse / fine) == pytest.approx(1, abs=0.2), errors


def test_reverse_diffusion_is_the_algorithms_of_the_paper() -> None:
    prior, n = Gaussian(shape=SHAPE, mean=0.3), 30
    vp = VP(t_min=0.01)
    g = stream("sampler", 0)
    t = torch.linspace(1, 0.01, n + 1, dtype=torch.float64).tolist()
    x = noise((2, *SHAPE), g)
    for i in range(n):  # Algorithm 3 without its corrector
        beta = (0.1 + 19.9 * t[i]) * (t[i] - t[i + 1])
        x = (2 - (1 - beta) ** 0.5) * x + beta * vp.score(prior, x, t[i]) + beta**0.5 * noise((2, *SHAPE), g)
    found = ReverseDiffusion(sde=vp, steps=n)(prior, (2, *SHAPE), stream("sampler", 0))
    torch.testing.assert_close(found, prior.posterior(*vp.to_levels(x, 0.01)).mean)

    ve = VE(sigma_min=0.02, sigma_max=20.0)
    found = PredictorCorrector(sde=ve, steps=n, corrections=2, snr=0.2)(prior, (2, *SHAPE), stream("sampler", 0))
    g = stream("sampler", 0)
    sigma = [0.02 * 1000**s for s in torch.linspace(1, ve.t_min, n + 1, dtype=torch.float64).tolist()]
    x = 20 * noise((2, *SHAPE), g)
    for i in range(n):  # Algorithm 2
        z = noise((2, *SHAPE), g)
        drop = sigma[i] ** 2 - sigma[i + 1] ** 2
        x = x + drop * (prior.posterior(x, sigma[i]).mean - x) / sigma[i] ** 2 + drop**0.5 * z
        for _ in range(2):  # Algorithm 4
            z = noise((2, *SHAPE), g)
            slope = (prior.posterior(x, sigma[i + 1]).mean - x) / sigma[i + 1] ** 2
            size = [sum(row.norm() for row in part.flatten(1)) for part in (z, slope)]
            epsilon = 2 * (0.2 * size[0] / size[1]) ** 2
            x = x + epsilon * slope + (2 * epsilon) ** 0.5 * z
    torch.testing.assert_close(found, prior.posterior(x, sigma[-1]).mean)


def test_the_corrector_of_a_process_that_preserves_variance_slows_down_with_beta() -> None:
    prior, n, sde = Gaussian(shape=SHAPE, mean=0.3), 25, VP(t_min=0.01)
    found = PredictorCorrector(sde=sde, steps=n, snr=0.2)(prior, (2, *SHAPE), stream("sampler", 0))
    g, t = stream("sampler", 0), torch.linspace(1, 0.01, n + 1, dtype=torch.float64).tolist()
    beta = [(0.1 + 19.9 * s) * 0.99 / n for s in t]
    x = noise((2, *SHAPE), g)
    for i in range(n):
        z = noise((2, *SHAPE), g)
        x = (2 - (1 - beta[i]) ** 0.5) * x + beta[i] * sde.score(prior, x, t[i]) + beta[i] ** 0.5 * z
        z, slope = noise((2, *SHAPE), g), sde.score(prior, x, t[i + 1])
        size = [sum(row.norm() for row in part.flatten(1)) for part in (z, slope)]
        epsilon = 2 * (1 - beta[i + 1]) * (0.2 * size[0] / size[1]) ** 2  # Algorithm 5
        x = x + epsilon * slope + (2 * epsilon) ** 0.5 * z
    torch.testing.assert_close(found, prior.posterior(*sde.to_levels(x, 0.01)).mean)


def test_euler_maruyama_is_a_step_of_the_reverse_equation() -> None:
    prior, sde, n = Gaussian(shape=SHAPE, mean=0.3), SubVP(), 20
    g, t = stream("sampler", 0), torch.linspace(1, 1e-3, n + 1, dtype=torch.float64).tolist()
    x = noise((2, *SHAPE), g)
    for now, following in pairwise(t):
        f, diffusion = sde.coefficients(now)
        drift = f * x - diffusion**2 * sde.score(prior, x, now)
        x = x + drift * (following - now) + diffusion * (now - following) ** 0.5 * noise((2, *SHAPE), g)
    found = EulerMaruyama(sde=sde, steps=n)(prior, (2, *SHAPE), stream("sampler", 0))
    torch.testing.assert_close(found, prior.posterior(*sde.to_levels(x, 1e-3)).mean)


def test_without_corrections_it_is_the_predictor_and_the_corrector_slows_down_with_beta() -> None:
    prior, sde = Gaussian(shape=SHAPE), VP(t_min=0.01)
    bare = PredictorCorrector(sde=sde, steps=30, corrections=0)(prior, (2, *SHAPE), stream("sampler", 0))
    assert torch.equal(bare, ReverseDiffusion(sde=sde, steps=30)(prior, (2, *SHAPE), stream("sampler", 0)))
    x, score, z = torch.zeros(2, 1, 1), torch.full((2, 1, 1), 0.5), torch.ones(2, 1, 1)
    step = 2 * 0.9 * (0.1 * 2) ** 2  # Algorithm 5: alpha inside the step size, once
    torch.testing.assert_close(reverse.langevin(x, score, z, 0.1, 0.9), step * score + (2 * step) ** 0.5 * z)


@pytest.mark.parametrize("sde", PROCESSES, ids=["ve", "vp", "subvp"])
def test_the_flow_is_exact_up_to_the_tolerances(sde: SDE) -> None:
    """Of normal data each eigenmode is scaled by its own standard deviation."""
    prior = Gaussian(shape=SHAPE, mean=0.3, std=0.5)
    z = noise((2, *SHAPE), stream("sampler", 0))
    # Down to t_min exactly, then the denoiser: that is what the sampler says it does.
    x, sigma = sde.to_levels(sde.prior_std * z, 1.0)
    low = sde.sigma(sde.t_min)
    (basis,), variance = prior.bases, prior.variance
    centred = torch.einsum("kn,bnc->bkc", basis, x - 0.3)
    at_end = torch.einsum("kn,bkc->bnc", basis, centred * ((variance + low**2) / (variance + sigma**2)).sqrt()) + 0.3
    exact = prior.posterior(at_end, low).mean
    for rtol in (1e-4, 1e-8):
        found = ODE(sde=sde, rtol=rtol, atol=rtol)(prior, (2, *SHAPE), stream("sampler", 0))
        assert (found - exact).abs().max() < 100 * rtol
    evaluations = prior.evaluations
    ODE(sde=sde)(prior, (2, *SHAPE), stream("sampler", 0))
    assert 20 < prior.evaluations - evaluations < 400
    assert Flow(sde=sde, order=1).order == 1


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"steps is too small: in steps of 0\.0999"):
        ReverseDiffusion(sde=VP(), steps=10)
    with pytest.raises(ConfigError, match="dopri5"):
        ODE(sde=VP(), method="euler")


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(EulerMaruyama, steps=1) == {}
    assert accepted(Flow, steps=1, order=3) == {}
    assert accepted(ODE, rtol=0.0, atol=0) == {}
    assert accepted(PredictorCorrector, steps=1, corrections=-1, snr=0.0) == {}
