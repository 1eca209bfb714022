"""Solution operators, found by their configs: derivatives against differences, transposes; and each against its PDE."""

from __future__ import annotations

import math
from importlib.resources import files
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from refusals import accepted
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.residual.helmholtz import Helmholtz as Scheme
from sciml.diffusion.solution.base import LinearSolution, Solution
from sciml.diffusion.solution.darcy import Darcy
from sciml.diffusion.solution.helmholtz import Helmholtz
from sciml.diffusion.solution.navier_stokes import NavierStokes
from sciml.equation import darcy
from sciml.errors import ConfigError

SHAPE = (8, 8, 1)
NAMES = sorted(f.name.removesuffix(".yaml") for f in files("sciml.conf").joinpath("diffusion/solution").iterdir())


def build(name: str, **parameters: Any) -> Solution:
    overrides = ["+diffusion=default", "diffusion/solver=exact", "diffusion/measurement=solution"]
    overrides += [f"diffusion/solution@diffusion.measurement.solution={name}", f"diffusion.shape={list(SHAPE)}"]
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", overrides).diffusion.measurement.solution
    return instantiate(config, **{key: value for key, value in parameters.items() if key in config})


def drawn(name: str) -> Tensor:
    return torch.randn(2, *SHAPE, dtype=torch.float64, generator=stream(name, 0))


@pytest.mark.parametrize("name", NAMES)
def test_derivatives_of_both_modes_agree_with_differences(name: str) -> None:
    operator = build(name, rtol=1e-12, step=0.5)
    x, v, w = drawn("x"), drawn("v"), drawn("w")
    u, jvp = torch.func.jvp(operator, (x,), (v,))
    differences = (operator(x + 1e-5 * v) - operator(x - 1e-5 * v)) / 2e-5
    torch.testing.assert_close(jvp, differences, rtol=1e-5, atol=1e-6 * jvp.abs().max().item())
    assert u.shape == x.shape
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((operator(x) * w).sum(), x)
    torch.testing.assert_close((gradient * v).sum(), (jvp * w).sum())
    again, rows = operator.linearised(x, w)  # either weight for both fields
    torch.testing.assert_close(again, u)
    torch.testing.assert_close((rows * v[:, None]).flatten(2).sum(2), jvp.flatten(1) @ w.flatten(1).T)
    if isinstance(operator, LinearSolution):
        torch.testing.assert_close(operator(v), jvp)
        torch.testing.assert_close(operator.transpose(w), gradient)


@pytest.mark.parametrize("k", [0.0, 3.0])
def test_the_source_is_what_the_scheme_makes_of_the_solution(k: float) -> None:
    x = drawn("x")
    u = Helmholtz(shape=SHAPE, k=k, scale=2.0)(x) / 2
    left = Scheme(k=k, scale=(1.0, 1.0)).between(x[..., 0], u[..., 0])
    assert left.abs().max() < 1e-10
    assert u[:, [0, -1]].abs().max() == u[:, :, [0, -1]].abs().max() == 0


def test_one_axis_of_poisson() -> None:
    """u'' = 1 is solved exactly by the scheme: u = x (x - 1) / 2."""
    x = torch.linspace(0, 1, 7, dtype=torch.float64)
    u = Helmholtz(shape=(7, 1), k=0.0)(torch.ones(1, 7, 1, dtype=torch.float64))
    torch.testing.assert_close(u[0, :, 0], x * (x - 1) / 2)


def test_a_wave_number_at_a_resonance_is_refused() -> None:
    with pytest.raises(ConfigError, match="eigenvalue"):
        Helmholtz(shape=(3, 1), k=math.sqrt(8))


@pytest.mark.parametrize("average", ["arithmetic", "harmonic"])
def test_two_values_of_the_field_are_two_coefficients_of_darcy(average: str) -> None:
    sign = drawn("x").sign()
    a = torch.where(sign > 0, 12.0, 3.0)[..., 0].double()
    expected = darcy.Darcy(average=average).solve(a, torch.tensor(1.0, dtype=torch.float64), rtol=1e-12).u
    found = Darcy(shape=SHAPE, average=average, scale=5.0, rtol=1e-12)(sign)
    torch.testing.assert_close(found[..., 0], 5 * expected)


def test_rows_of_darcys_jacobian_are_those_of_one_backward_pass_each() -> None:
    operator = Darcy(shape=SHAPE, average="harmonic", source=2.0, scale=5.0, rtol=1e-13)
    x, weights = drawn("x"), torch.randn(3, *SHAPE, dtype=torch.float64, generator=stream("weights", 0))
    for found, expected in zip(operator.linearised(x, weights), Solution.linearised(operator, x, weights), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_a_single_wave_of_vorticity_decays() -> None:
    x = torch.arange(8, dtype=torch.float64) / 8
    wave = torch.cos(2 * math.pi * x)[:, None].expand(8, 8)[None, ..., None]
    flow = NavierStokes(shape=SHAPE, nu=0.02, time=0.7, step=0.1, forcing="none", scale=3.0)
    torch.testing.assert_close(flow(wave), 3 * wave * math.exp(-0.02 * 4 * math.pi**2 * 0.7))


@pytest.mark.parametrize(
    ("operator", "wrong"),
    [
        (Darcy, {"shape": (4, 5, 1)}),
        (NavierStokes, {"shape": (4, 5, 1)}),
        (Helmholtz, {"shape": (2, 1), "k": 0.0}),
    ],
)
def test_what_cannot_be_solved_is_refused(operator: type[Solution], wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        operator(**wrong)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Darcy, low=0.0, average="geometric") == {}
    assert accepted(NavierStokes, time=0.0, forcing="wind") == {}
