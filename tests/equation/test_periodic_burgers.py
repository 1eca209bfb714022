"""The transform of Cole and Hopf, orders in time and space, and the balance of energy."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sciml.data.periodic_field import periodic_fields
from sciml.data.stream import stream
from sciml.equation.burgers import Burgers, PeriodicBurgers

NU = 0.05 / math.pi


def cole_hopf(u0: Tensor, nu: float, t: float) -> Tensor:
    """Exact state of a field without mean on the unit circle: u = −2ν ∂ log φ/∂x, where φ_t = ν φ_xx."""
    n = u0.shape[-1]
    ik = 2j * math.pi * torch.arange(n // 2 + 1, dtype=torch.float64)
    hat = torch.fft.rfft(u0)
    integral = torch.fft.irfft(torch.where(ik.imag > 0, hat / ik.where(ik.imag > 0, 1), 0), n=n)
    heat = torch.fft.rfft(torch.exp(-integral / (2 * nu))) * torch.exp(-nu * ik.imag**2 * t)
    return -2 * nu * torch.fft.irfft(ik * heat, n=n) / torch.fft.irfft(heat, n=n)


def field(points: int) -> Tensor:
    streams = [stream(str(i), 0) for i in range(3)]
    return periodic_fields(streams, points, modes=20, alpha=2.0, tau=5.0, sigma=25.0)


@pytest.mark.parametrize("speed", [0.0, 1.5])
def test_a_sine_steepens_into_the_front_of_cole_and_hopf(speed: float) -> None:
    n, t = 512, 0.5
    x = -1 + 2 / n * torch.arange(n, dtype=torch.float64)
    equation = PeriodicBurgers(nu=NU, length=2.0)
    found = equation.solve(speed - torch.sin(math.pi * x), dt=t, frames=2, step=0.001)[1]
    points = torch.stack([torch.full_like(x, t), (x - speed * t + 1) % 2 - 1], dim=1)
    exact = speed + Burgers(nu=NU).reference(points).squeeze(1)
    torch.testing.assert_close(found, exact, rtol=0, atol=1e-6)


def test_random_fields_by_cole_and_hopf() -> None:
    found = PeriodicBurgers(nu=0.01).solve(field(256), dt=0.5, frames=3, step=0.0025)
    for i in (1, 2):
        torch.testing.assert_close(found[:, i], cole_hopf(field(256), 0.01, 0.5 * i), rtol=0, atol=1e-8)


def test_the_order_in_time_is_four() -> None:
    equation = PeriodicBurgers(nu=0.01)
    exact = cole_hopf(field(256), 0.01, 1.0)
    steps = (0.02, 0.01, 0.005)
    errors = [float((equation.solve(field(256), dt=1.0, frames=2, step=h)[:, 1] - exact).norm()) for h in steps]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(4, abs=0.3), (errors, orders)


def test_the_error_in_space_falls_faster_than_any_power() -> None:
    exact = cole_hopf(field(256), 0.01, 0.5)[:, ::8]
    equation = PeriodicBurgers(nu=0.01)
    errors = [
        float((equation.solve(field(n), dt=0.5, frames=2, step=0.0025, points=32)[:, 1] - exact).norm())
        for n in (64, 128)
    ]
    assert errors[0] < 1e-2
    assert errors[1] < errors[0] / 1000, errors


def test_residual_and_balance_of_energy() -> None:
    dt, nu = 1e-3, 0.02
    u = PeriodicBurgers(nu=nu).solve(field(192), dt=dt, frames=205, step=dt)[:, -5:]
    stencil = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64).reshape(-1, 1) / (12 * dt)
    u_t, u = (stencil * u).sum(1), u[:, 2]
    assert PeriodicBurgers(nu=nu).residual(u, u_t).abs().max() < 1e-6 * u_t.abs().max()
    assert PeriodicBurgers(nu=1.01 * nu).residual(u, u_t).abs().max() > 1e-3 * u_t.abs().max()
    u_x = torch.fft.irfft(2j * math.pi * torch.arange(97) * torch.fft.rfft(u), n=192)
    torch.testing.assert_close((u * u_t).mean(-1), -nu * u_x.square().mean(-1), rtol=1e-6, atol=0)


def test_a_viscosity_must_be_positive() -> None:
    with pytest.raises(ValueError, match="nu"):
        PeriodicBurgers(nu=0.0)
