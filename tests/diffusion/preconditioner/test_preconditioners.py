"""Preconditioners are found by their configs; each makes the best denoiser of the network that is right for it."""

from __future__ import annotations

import math
from importlib.resources import files
from itertools import pairwise
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from refusals import accepted
from torch import Tensor, nn

from sciml.diffusion.preconditioner.base import Scaled, Scaling
from sciml.diffusion.preconditioner.edm import EDM
from sciml.diffusion.preconditioner.score import ScoreNetwork

MEAN, STD = 0.4, 0.7  # of the data
LEVELS = torch.tensor([0.01, 0.3, 1.0, 7.0, 40.0], dtype=torch.float64)


def options() -> list[str]:
    return sorted(
        f.name.removesuffix(".yaml") for f in files("sciml.conf").joinpath("diffusion/preconditioner").iterdir()
    )


def build(name: str) -> Any:
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", [f"+diffusion/preconditioner={name}"]).diffusion.preconditioner
    return instantiate(config, _convert_="all")


def best(x: Tensor, sigma: Tensor) -> Tensor:
    """E[x_0 | x_sigma] of independent normal entries."""
    return MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)


def fields(seed: int = 0) -> Tensor:
    return torch.randn(len(LEVELS), 3, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Implied(nn.Module):
    """The output that makes the denoiser right, and what the network was given."""

    def __init__(self, preconditioner: Scaling, denoised: Tensor, x: Tensor, sigma: Tensor) -> None:
        super().__init__()
        skip, out, *_ = (c[:, None, None] for c in preconditioner.coefficients(sigma))
        self.output = (denoised - skip * x) / out

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        self.seen, self.condition = u, condition
        return self.output


SCALINGS = [name for name in options() if isinstance(build(name), Scaling)]


@pytest.mark.parametrize("name", SCALINGS)
def test_what_one_network_knows_every_other_says_in_its_own_words(name: str) -> None:
    """From a denoised field to a network's output, by way of each other parametrisation, and back."""
    x, denoised = 3 * fields(), fields(1)
    found = denoised
    for one in (name, *SCALINGS, name):
        preconditioner = build(one)
        found = Scaled(Implied(preconditioner, found, x, LEVELS), preconditioner)(x, LEVELS)
        torch.testing.assert_close(found, denoised, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", options())
def test_quantiles_of_the_levels_rise(name: str) -> None:
    preconditioner = build(name)
    levels = preconditioner.levels(torch.linspace(0.01, 0.99, 9, dtype=torch.float64))
    assert all(a < b for a, b in pairwise(levels.tolist()))
    assert preconditioner.levels(torch.full((2, 3), 0.5, dtype=torch.float64)).shape == (2, 3)


@pytest.mark.parametrize("name", [name for name in options() if isinstance(build(name), ScoreNetwork)])
def test_the_network_of_a_process_predicts_the_noise_in_its_state(name: str) -> None:
    """Against the score of a normal distribution, written down in the time of the process."""
    preconditioner = build(name)
    sde = preconditioner.sde
    x, implied = MEAN + fields(), []
    for one, sigma in zip(x, LEVELS, strict=True):
        t = sde.time(float(sigma))
        m, s = sde.marginal(t)
        state = m * one
        score = -(state - m * MEAN) / (m**2 * STD**2 + s**2)
        noise = -s * score
        implied.append(noise if name != "ve" else -noise)

    class Network(nn.Module):
        def forward(self, u: Tensor, condition: Tensor) -> Tensor:
            scales = torch.tensor([sde.marginal(sde.time(float(level)))[0] for level in LEVELS], dtype=torch.float64)
            torch.testing.assert_close(u, scales[:, None, None] * x)
            told = [math.log(level / 2) if name == "ve" else 999 * sde.time(level) for level in LEVELS.tolist()]
            torch.testing.assert_close(condition, torch.tensor(told, dtype=torch.float64)[:, None])
            return torch.stack(implied)

    found = Scaled(Network(), preconditioner)(x, LEVELS)
    torch.testing.assert_close(found, best(x, LEVELS[:, None, None]), rtol=1e-10, atol=1e-10)
    # Each time counts by the error of its noise, and times are uniform.
    torch.testing.assert_close(preconditioner.weight(LEVELS) * LEVELS**2, torch.ones_like(LEVELS))
    low = sde.t_min
    for u in (0.0, 0.25, 1.0):
        level = preconditioner.levels(torch.tensor([u], dtype=torch.float64))
        assert sde.time(float(level)) == pytest.approx(low + (1 - low) * u)


def test_edm_has_unit_variances_and_is_the_best_denoiser_of_white_data_with_a_network_of_nothing() -> None:
    edm = EDM(sigma_data=STD, p_mean=-0.3, p_std=1.4)
    c = edm.coefficients(LEVELS)
    torch.testing.assert_close(c.into.square() * (LEVELS**2 + STD**2), torch.ones_like(LEVELS))
    # Target (x_0 - c_skip x_sigma) / c_out, x_0 and the noise independent.
    target = ((1 - c.skip) ** 2 * STD**2 + c.skip**2 * LEVELS**2) / c.out**2
    torch.testing.assert_close(target, torch.ones_like(LEVELS))
    torch.testing.assert_close(edm.weight(LEVELS) * c.out**2, torch.ones_like(LEVELS))
    torch.testing.assert_close(c.skip, STD**2 / (STD**2 + LEVELS**2))
    torch.testing.assert_close(c.noise, LEVELS.log() / 4)
    u = torch.tensor([0.5, 0.8413447460685429], dtype=torch.float64)  # mean, and one standard deviation above
    torch.testing.assert_close(edm.levels(u).log(), torch.tensor([-0.3, 1.1], dtype=torch.float64))


def test_the_levels_of_edm_have_the_papers_numbers() -> None:
    edm = build("edm")
    assert (edm.sigma_data, edm.p_mean, edm.p_std) == (0.5, -1.2, 1.2)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(EDM, sigma_data=0.0) == {}
    assert accepted(ScoreNetwork, predicts="velocity", condition="sigma") == {}
