"""Exact flows, advection by differentiation, orders, balances of energy and enstrophy, and invariance under turns."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from sciml.data.periodic_field2d import periodic_fields2d
from sciml.data.stream import stream
from sciml.equation.navier_stokes import NavierStokes, diagonal_forcing, symmetric_forcing
from sciml.equation.spectral import analyse, synthesise, wavenumbers, widen


def start(modes: int = 7, n: int = 2) -> Tensor:
    streams = [stream(str(i), 0) for i in range(n)]
    return periodic_fields2d(streams, modes=modes, alpha=2.5, tau=7.0, sigma=37.0)


def grid(n: int) -> tuple[Tensor, Tensor]:
    x = torch.arange(n, dtype=torch.float64) / n
    return x.unsqueeze(1).expand(n, n), x.expand(n, n)


def slope(hat: Tensor, axis: int, n: int, order: int = 1) -> Tensor:
    """A derivative on n² points."""
    k = 2 * math.pi * wavenumbers(hat.shape[-1] - 1, 2)[axis]
    return synthesise((1j * k) ** order * hat, n, 2)


def test_waves_of_one_length_decay_where_they_are() -> None:
    # ψ is a multiple of ω, so that u·∇ω = 0: Taylor and Green's vortices, here of |k| = 5 in eight directions.
    x, y = grid(32)
    waves = ((5, 0, 0.3), (0, 5, 1.0), (3, 4, 2.0), (4, -3, 0.1), (-4, 3, 1.7))
    omega = sum(torch.cos(2 * math.pi * (a * x + b * y) + c) for a, b, c in waves)
    assert isinstance(omega, Tensor)
    found = NavierStokes(nu=1e-2).solve(analyse(omega[None], 10, 2), resolution=32, dt=0.1, frames=2, step=0.1)[0, 1]
    torch.testing.assert_close(found, omega * math.exp(-1e-2 * (2 * math.pi * 5) ** 2 * 0.1), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("forcing", "square"), [(diagonal_forcing, 2), (partial(symmetric_forcing, period=6), 9)])
def test_forced_from_rest_to_the_balance_with_viscosity(forcing: partial[Tensor], square: int) -> None:
    nu, t = 0.02, 0.5
    rate = nu * 4 * math.pi**2 * square
    still = torch.zeros(1, 17, 9, dtype=torch.complex128)
    found = NavierStokes(nu=nu, forcing=forcing).solve(still, resolution=25, dt=t, frames=2, step=0.01)[0, 1]
    torch.testing.assert_close(found, forcing(*grid(25)) * (1 - math.exp(-rate * t)) / rate, rtol=0, atol=1e-9)


def test_velocity_and_advection_are_those_of_the_definition() -> None:
    hat, n = start(), 32
    u_hat, v_hat = NavierStokes(nu=0.0).velocity(hat)
    omega, u, v = (synthesise(part, n, 2) for part in (hat, u_hat, v_hat))
    torch.testing.assert_close(slope(v_hat, 0, n) - slope(u_hat, 1, n), omega)
    assert (slope(u_hat, 0, n) + slope(v_hat, 1, n)).abs().max() < 1e-12
    advection = analyse(u * slope(hat, 0, n) + v * slope(hat, 1, n), 7, 2)
    torch.testing.assert_close(NavierStokes(nu=0.0).rate(22, hat)(hat), -advection, rtol=1e-10, atol=1e-12)


def test_the_order_in_time_is_four() -> None:
    equation = NavierStokes(nu=1e-3, forcing=diagonal_forcing)
    found = [equation.solve(4 * start(), resolution=22, dt=1.0, frames=2, step=h)[:, 1] for h in (0.05, 0.025, 0.0125)]
    changes = [float((found[i] - found[i + 1]).norm() / found[2].norm()) for i in range(2)]
    assert changes[0] < 1e-2
    assert math.log2(changes[0] / changes[1]) == pytest.approx(4, abs=0.3), changes


def test_the_error_in_space_falls_faster_than_any_power() -> None:
    equation = NavierStokes(nu=5e-3, forcing=diagonal_forcing)

    def at(modes: int) -> Tensor:
        hat = widen(start(), modes, 2)
        return equation.solve(hat, resolution=3 * modes + 1, dt=1.0, frames=2, step=0.05, points=8)[:, 1]

    exact = at(42)
    errors = [float((at(modes) - exact).norm() / exact.norm()) for modes in (7, 9, 12)]  # above rounding, 1e-15
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 50, errors
    assert errors[2] < errors[1] / 50, errors


def test_balances_of_energy_and_enstrophy() -> None:
    nu, dt, n = 2e-3, 2e-3, 64
    omega = NavierStokes(nu=nu).solve(widen(start(), 21, 2), resolution=n, dt=dt, frames=5, step=dt)
    hat = analyse(omega, 21, 2)
    velocity = NavierStokes(nu=nu).velocity(hat)
    energy = sum(synthesise(part, n, 2).square().mean((-2, -1)) / 2 for part in velocity)
    enstrophy = omega.square().mean((-2, -1)) / 2
    stencil = torch.tensor([1.0, -8.0, 0.0, 8.0, -1.0], dtype=torch.float64) / (12 * dt)
    torch.testing.assert_close((energy * stencil).sum(1), -2 * nu * enstrophy[:, 2], rtol=1e-6, atol=0)
    gradient = sum(slope(hat[:, 2], axis, n).square().mean((-2, -1)) for axis in range(2))
    torch.testing.assert_close((enstrophy * stencil).sum(1), -nu * gradient, rtol=1e-6, atol=0)


def test_turned_and_symmetrically_forced_it_is_the_same_flow() -> None:
    def turn(field: Tensor) -> Tensor:  # x → −y, y → x on points i / n
        return field.transpose(-2, -1).flip(-1).roll(1, -1)

    first = synthesise(start(), 22, 2)

    def later(omega: Tensor, forcing: partial[Tensor]) -> Tensor:
        equation = NavierStokes(nu=1e-3, forcing=forcing)
        return equation.solve(analyse(omega, 7, 2), resolution=22, dt=2.0, frames=2, step=0.1)[:, 1]

    symmetric = partial(symmetric_forcing, amplitude=1.0)
    torch.testing.assert_close(later(turn(first), symmetric), turn(later(first, symmetric)))
    diagonal = partial(diagonal_forcing, amplitude=1.0)
    assert (later(turn(first), diagonal) - turn(later(first, diagonal))).abs().max() > 0.1


def test_a_grid_that_aliases_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 21"):
        NavierStokes(nu=1e-3).solve(start(), resolution=21, dt=1.0, frames=2, step=0.1)
