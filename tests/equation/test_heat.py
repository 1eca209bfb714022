from __future__ import annotations

import math

import pytest
import torch

from sciml.data.periodic_field import periodic_field
from sciml.equation.heat import Heat

HEAT = Heat(nu=0.3, length=2.0)


def fields(points: int) -> torch.Tensor:
    return periodic_field(4, points, modes=5, alpha=1.0, tau=5.0, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("points", [12, 13])
def test_one_mode_decays_as_written(points: int) -> None:
    x = torch.arange(points, dtype=torch.float64) * HEAT.length / points
    wave = torch.cos(2 * math.pi * 3 * x / HEAT.length)
    decayed = math.exp(-0.3 * (3 * math.pi) ** 2 * 0.05) * wave
    torch.testing.assert_close(HEAT.solve(wave, 0.05), decayed)


@pytest.mark.parametrize("points", [16, 17])
def test_the_solution_zeroes_the_residual_and_a_perturbed_one_does_not(points: int) -> None:
    u0, t, dt = fields(points), 0.02, 1e-4
    u = HEAT.solve(u0, t)
    # fourth-order difference in time, so that the residual is not compared with its own formula
    stencil = [HEAT.solve(u0, t + j * dt) for j in (-2, -1, 1, 2)]
    u_t = (stencil[0] - 8 * stencil[1] + 8 * stencil[2] - stencil[3]) / (12 * dt)
    assert HEAT.residual(u, u_t).abs().max() < 1e-7 * u_t.abs().max()
    assert Heat(nu=0.301, length=2.0).residual(u, u_t).abs().max() > 1e-3 * u_t.abs().max()


def test_second_derivative_agrees_with_differences() -> None:
    u = fields(2048)
    h = HEAT.length / 2048
    differences = HEAT.nu * (u.roll(1, -1) - 2 * u + u.roll(-1, -1)) / h**2
    torch.testing.assert_close(
        -HEAT.residual(u, torch.zeros_like(u)), differences, rtol=0, atol=5e-5 * float(differences.abs().max())
    )


def test_time_steps_compose_and_the_mean_is_conserved() -> None:
    u0 = fields(16) + 1.5
    torch.testing.assert_close(HEAT.solve(HEAT.solve(u0, 0.1), 0.2), HEAT.solve(u0, 0.3))
    torch.testing.assert_close(HEAT.solve(u0, 9.0), torch.full_like(u0, 1.5))


def test_impossible_coefficients_are_refused() -> None:
    with pytest.raises(ValueError, match="nu"):
        Heat(nu=-1.0)
