"""What every process promises; those of the paper, found by their configs."""

from __future__ import annotations

import math
from importlib.resources import files

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from refusals import accepted

from sciml.data.stream import stream
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.process import SDE
from sciml.diffusion.sde.subvp import SubVP
from sciml.diffusion.sde.ve import VE
from sciml.diffusion.sde.vp import VP
from sciml.errors import ConfigError

NAMES = sorted(f.name.removesuffix(".yaml") for f in files("sciml.conf").joinpath("diffusion/sde").iterdir())


def process(name: str) -> SDE:
    with initialize_config_module("sciml.conf", version_base="1.3"):
        return instantiate(compose("config", [f"+diffusion/sde={name}"]).diffusion.sde, _convert_="all")


@pytest.mark.parametrize("name", NAMES)
def test_the_moments_are_those_of_the_equation(name: str) -> None:
    """m' = f m and V' = 2 f V + g^2, integrated from time 0 by the classical Runge-Kutta method."""
    sde, n = process(name), 2000

    def slope(t: float, m: float, v: float) -> tuple[float, float]:
        f, g = sde.coefficients(t)
        return f * m, 2 * f * v + g**2

    mean, std = sde.marginal(0.0)
    assert mean == 1
    variance, h = std**2, 1 / n
    for i in range(n):
        t = i * h
        a = slope(t, mean, variance)
        b = slope(t + h / 2, mean + h / 2 * a[0], variance + h / 2 * a[1])
        c = slope(t + h / 2, mean + h / 2 * b[0], variance + h / 2 * b[1])
        d = slope(t + h, mean + h * c[0], variance + h * c[1])
        mean += h / 6 * (a[0] + 2 * b[0] + 2 * c[0] + d[0])
        variance += h / 6 * (a[1] + 2 * b[1] + 2 * c[1] + d[1])
        if (i + 1) % 400 == 0:
            assert (mean, variance**0.5) == pytest.approx(sde.marginal(t + h), rel=1e-8)
    # Data of variance 1 end as the normal distribution that sampling starts from.
    assert math.sqrt(mean**2 + variance) == pytest.approx(sde.prior_std, rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_conversions_are_inverses_and_exact(name: str) -> None:
    """With normal data the law at time t is known: N(m mu, m^2 v + s^2)."""
    sde = process(name)
    prior = Gaussian(shape=(1, 1), mean=0.7, std=0.5)
    x = torch.randn(5, 1, 1, dtype=torch.float64, generator=stream("x", 0))
    for t in (sde.t_min, 0.2, 0.7, 1.0):
        assert sde.time(sde.sigma(t)) == pytest.approx(t, rel=1e-9)
        mean, std = sde.marginal(t)
        back, again = sde.from_levels(*sde.to_levels(x, t))
        torch.testing.assert_close(back, x, rtol=1e-9, atol=0)
        assert again == pytest.approx(t, rel=1e-9)
        variance = mean**2 * 0.25 + std**2
        score = -(x - mean * 0.7) / variance
        torch.testing.assert_close(sde.score(prior, x, t), score, rtol=1e-7, atol=1e-7)
        f, g = sde.coefficients(t)
        torch.testing.assert_close(sde.flow(prior, x, t), f * x - g**2 * score / 2, rtol=1e-7, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_the_chain_is_one_of_the_process_in_the_limit(name: str) -> None:
    sde = process(name)
    for t in (0.1, 0.5, 1.0):
        for kernel in (sde.euler, sde.chain):
            gaps = []
            for h in (1e-4, 5e-5):
                factor, std = kernel(t - h, t)
                before, after = sde.marginal(t - h), sde.marginal(t)
                gaps.append(
                    (abs(factor * before[0] - after[0]), abs((factor * before[1]) ** 2 + std**2 - after[1] ** 2))
                )
            for coarse, fine in zip(*gaps, strict=True):  # a local error of second order
                assert coarse < 1e-13 * sde.prior_std**2 or coarse / fine == pytest.approx(4, rel=0.05)


def test_numbers_of_the_papers_formulas() -> None:
    """Eq. 31, 33 and the last of 29, written out at one time."""
    t, b = 0.3, 0.1 * 0.3 + 19.9 * 0.09 / 2
    assert VE().marginal(t) == pytest.approx((1, 0.01 * 5000**0.3))
    assert VP().marginal(t) == pytest.approx((math.exp(-b / 2), math.sqrt(1 - math.exp(-b))))
    assert SubVP().marginal(t) == pytest.approx((math.exp(-b / 2), 1 - math.exp(-b)))
    assert VE().coefficients(t) == pytest.approx((0, 0.01 * 5000**0.3 * math.sqrt(2 * math.log(5000))))
    assert VP().coefficients(t) == pytest.approx((-6.07 / 2, math.sqrt(6.07)))
    assert SubVP().coefficients(t) == pytest.approx((-6.07 / 2, math.sqrt(6.07 * (1 - math.exp(-2 * b)))))


def test_senseless_parameters_are_refused() -> None:
    with pytest.raises(ConfigError, match="sigma_min is 2"):
        VE(sigma_min=2.0, sigma_max=1.0)
    for kind in (VP, SubVP):
        with pytest.raises(ConfigError, match="beta_min is 3"):
            kind(beta_min=3.0, beta_max=1.0)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(VE, sigma_min=0, t_min=1.0) == {}
    assert accepted(VP, beta_min=0, t_min=1.0) == {}
