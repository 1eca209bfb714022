"""Order in time, convergence in space, growth rates of small waves, and the balances of the mean and the energy."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from sciml.data.sines import few_sines
from sciml.data.stream import stream
from sciml.equation.kuramoto_sivashinsky import KuramotoSivashinsky

LENGTH = 22.0
EQUATION = KuramotoSivashinsky(length=LENGTH)


def start(points: int, n: int = 2) -> torch.Tensor:
    return few_sines([stream(str(i), 0) for i in range(n)], points)


def later(t: float, *, step: float, points: int = 64) -> torch.Tensor:
    developed = EQUATION.solve(start(points), dt=30.0, frames=2, step=0.1)[:, 1]
    return EQUATION.solve(developed, dt=t, frames=2, step=step, points=32)[:, 1]


def test_the_order_in_time_is_four() -> None:
    found = [later(10.0, step=step) for step in (0.05, 0.025, 0.0125)]
    changes = [float((coarse - fine).norm() / fine.norm()) for coarse, fine in pairwise(found)]
    assert changes[0] < 1e-5
    assert math.log2(changes[0] / changes[1]) == pytest.approx(4, abs=0.3), changes


def test_the_error_in_space_falls_faster_than_any_power() -> None:
    exact = later(5.0, step=0.1, points=128)
    errors = [float((later(5.0, step=0.1, points=n) - exact).norm() / exact.norm()) for n in (32, 48, 64)]
    assert errors[0] < 0.5
    assert errors[1] < errors[0] / 50, errors
    assert errors[2] < errors[1] / 50, errors


def test_small_waves_grow_and_decay_at_their_rates() -> None:
    n, t = 48, 5.0
    x = torch.arange(n, dtype=torch.float64) / n
    k = torch.arange(1, 9, dtype=torch.float64).unsqueeze(1)
    u0 = 1e-9 * torch.cos(2 * math.pi * k * x)
    kappa = 2 * math.pi * k / LENGTH
    found = EQUATION.solve(u0, dt=t, frames=2, step=0.5)[:, 1]
    torch.testing.assert_close(found, u0 * torch.exp((kappa**2 - kappa**4) * t), rtol=1e-6, atol=1e-16)


def test_a_mean_is_kept_and_carries_the_field_along() -> None:
    speed, t = 1.5, 20.0
    shift = round(speed * t / LENGTH * 1024)
    t = shift / 1024 * LENGTH / speed  # so that the shifted field lies on the grid
    still = EQUATION.solve(start(96), dt=t, frames=2, step=0.05, points=1024)[:, 1]
    moved = EQUATION.solve(start(96) + speed, dt=t, frames=2, step=0.05, points=1024)[:, 1]
    torch.testing.assert_close(moved, still.roll(shift, -1) + speed, rtol=0, atol=1e-3)
    torch.testing.assert_close(moved.mean(-1), torch.full((2,), speed, dtype=torch.float64))


def test_residual_and_balance_of_energy() -> None:
    dt = 0.005
    developed = EQUATION.solve(start(96), dt=30.0, frames=2, step=0.1)[:, 1]
    u = EQUATION.solve(developed, dt=dt, frames=5, step=dt, warmup=40)
    stencil = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64).reshape(-1, 1) / (12 * dt)
    u_t, u = (stencil * u).sum(1), u[:, 2]
    assert EQUATION.residual(u, u_t).abs().max() < 1e-6 * u_t.abs().max()
    wrong = KuramotoSivashinsky(length=1.001 * LENGTH)
    assert wrong.residual(u, u_t).abs().max() > 1e-3 * u_t.abs().max()
    kappa = 2 * math.pi / LENGTH * torch.arange(49)
    u_x, u_xx = (torch.fft.irfft((1j * kappa) ** order * torch.fft.rfft(u), n=96) for order in (1, 2))
    growth = (u * u_t).mean(-1)
    torch.testing.assert_close(growth, u_x.square().mean(-1) - u_xx.square().mean(-1), rtol=1e-6, atol=1e-9)


def test_each_field_of_a_batch_has_its_own_period_and_time() -> None:
    lengths, times = torch.tensor([20.0, 26.0], dtype=torch.float64), torch.tensor([8.0, 9.0], dtype=torch.float64)
    u = KuramotoSivashinsky(length=lengths).solve(start(64), dt=times, frames=3, step=0.09, warmup=2, points=16)
    for i in range(2):
        alone = KuramotoSivashinsky(length=float(lengths[i])).solve(
            start(64)[i : i + 1], dt=float(times[i]), frames=5, step=float(times[i]) / 100
        )
        torch.testing.assert_close(u[i], alone[0, 2:, ::4])


def test_a_period_must_be_positive() -> None:
    with pytest.raises(ValueError, match="length"):
        KuramotoSivashinsky(length=0.0)
