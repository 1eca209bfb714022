"""The reaction without space, diffusion without reaction, steady states, residual and orders."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.equation.classical import runge_kutta
from sciml.equation.gray_scott import GrayScott
from sciml.equation.spectral import analyse, highest

FEED, KILL = 0.029, 0.057
EQUATION = GrayScott(feed=FEED, kill=KILL, length=0.5)


def start(points: int) -> Tensor:
    x = torch.arange(points, dtype=torch.float64) / points - 0.5
    bump = torch.exp(-(x.unsqueeze(1) ** 2) / 0.02 - (x - 0.1) ** 2 / 0.01)
    return torch.stack([1 - bump / 2, bump / 4])


def later(t: float, *, points: int, step: float) -> Tensor:
    return EQUATION.solve(start(points), dt=t, frames=2, step=step, points=8)[:, 1]


def test_without_space_it_is_the_reaction() -> None:
    def slope(_: float, state: np.ndarray) -> np.ndarray:
        u, v = state
        return np.array([-u * v**2 + FEED * (1 - u), u * v**2 - (FEED + KILL) * v])

    exact = runge_kutta(slope, np.array([0.5, 0.3]), np.array([0.0, 20.0, 40.0]), 0.05)
    uniform = torch.tensor([0.5, 0.3], dtype=torch.float64).reshape(2, 1, 1).expand(2, 8, 8)
    found = EQUATION.solve(uniform, dt=20.0, frames=3, step=0.1)
    torch.testing.assert_close(found, torch.from_numpy(exact.T)[..., None, None].expand_as(found), rtol=0, atol=1e-7)


def test_without_the_second_species_the_first_diffuses_and_is_fed() -> None:
    n, t = 16, 300.0
    x = torch.arange(n, dtype=torch.float64) / n
    wave = torch.cos(2 * math.pi * (2 * x.unsqueeze(1) - 3 * x))
    found = EQUATION.solve(torch.stack([1 + 0.2 * wave, 0 * wave]), dt=t, frames=2, step=5.0)[:, 1]
    decay = math.exp(-(2e-5 * 13 * (2 * math.pi / 0.5) ** 2 + FEED) * t)
    torch.testing.assert_close(found, torch.stack([1 + 0.2 * decay * wave, 0 * wave]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
def test_both_further_steady_states_stay(sign: int) -> None:
    equation = GrayScott(feed=0.03, kill=0.055)
    u = 0.5 * (1 + sign * math.sqrt(1 - 4 * (0.085) ** 2 / 0.03))
    state = torch.tensor([u, 0.03 * (1 - u) / 0.085], dtype=torch.float64).reshape(2, 1, 1).expand(2, 8, 8)
    assert equation.rate(state).abs().max() < 1e-15
    torch.testing.assert_close(equation.solve(state, dt=2.0, frames=2, step=1.0)[:, 1], state)


def test_the_rate_of_change_is_that_of_the_equation() -> None:
    dt = 0.5
    state = EQUATION.solve(start(64), dt=dt, frames=5, step=dt, warmup=40)
    stencil = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64).reshape(-1, 1, 1) / (12 * dt)
    measured = analyse((state * stencil).sum(1), highest(64, 3), 2)  # as to the wavenumbers of the solver

    def difference(equation: GrayScott) -> float:
        rate = analyse(equation.rate(state[:, 2]), highest(64, 3), 2)
        return float((measured - rate).norm() / rate.norm())

    assert difference(EQUATION) < 1e-5
    for changed in ({"d_u": 2.02e-5}, {"d_v": 1.01e-5}, {"feed": 1.01 * FEED}, {"kill": 1.01 * KILL}):
        other = {"feed": FEED, "kill": KILL, "length": 0.5} | changed
        assert difference(GrayScott(**other)) > 3e-4, changed


def test_the_order_in_time_is_four() -> None:
    found = [later(40.0, points=32, step=step) for step in (2.0, 1.0, 0.5)]
    changes = [float((found[i] - found[i + 1]).norm()) for i in range(2)]
    assert changes[0] < 1e-3
    assert math.log2(changes[0] / changes[1]) == pytest.approx(4, abs=0.3), changes


def test_the_error_in_space_falls_faster_than_any_power() -> None:
    exact = later(40.0, points=144, step=4.0)
    errors = [float((later(40.0, points=n, step=4.0) - exact).norm()) for n in (32, 64, 96)]
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 8, errors
    assert errors[2] < errors[1] / 8, errors


def test_rates_must_not_be_negative() -> None:
    with pytest.raises(ValueError, match="kill"):
        GrayScott(feed=0.03, kill=-0.1)
