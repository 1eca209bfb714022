"""The breather: against its closed form on a long period, convergence, invariants; residuals of other functions."""

from __future__ import annotations

import math

import pytest
import torch
from equations import inside, residual
from refusals import accepted
from torch import Tensor

from sciml.equation.schroedinger import Schroedinger, breather

EQUATION = Schroedinger()


def closed_form(x: Tensor) -> Tensor:
    """On the whole line (Satsuma and Yajima 1974): real and imaginary part."""
    t, along = x.unbind(-1)
    turn = torch.exp(0.5j * t)
    above = torch.cosh(3 * along) + 3 * torch.exp(4j * t) * torch.cosh(along)
    below = torch.cosh(4 * along) + 4 * torch.cosh(2 * along) + 3 * torch.cos(4 * t)
    return torch.view_as_real(4 * turn * above / below)


def test_residuals_of_other_functions() -> None:
    x = inside(EQUATION)
    assert residual(EQUATION, closed_form, x).abs().max() < 1e-9
    found = residual(EQUATION, lambda p: torch.stack([p[:, 0] * p[:, 1] ** 2, p[:, 0] ** 2], dim=-1), x)
    t, along = x.unbind(-1)
    u, v = t * along**2, t**2
    size = u**2 + v**2
    torch.testing.assert_close(found, torch.stack([-2 * t + t + size * u, along**2 + size * v], dim=-1))


def test_on_a_long_period_it_is_the_closed_form() -> None:
    x = inside(EQUATION, 60)
    long = breather(20.0, modes=80, h=1e-3, end=0.9)
    x[:, 0] *= 0.9 / (math.pi / 2)
    torch.testing.assert_close(long(x), closed_form(x), rtol=0, atol=1e-6)


def test_steps_converge_with_order_four() -> None:
    x = inside(EQUATION, 60) * torch.tensor([0.2, 1.0])
    coarse, middle, fine = (breather(5.0, modes=48, h=h, end=0.32)(x) for h in (8e-4, 4e-4, 2e-4))
    assert math.log2(float((coarse - middle).norm() / (middle - fine).norm())) == pytest.approx(4, abs=0.5)
    assert (breather(5.0, modes=64, h=2e-4, end=0.32)(x) - fine).abs().max() < 1e-7


def test_mass_stays_and_the_start_is_smooth() -> None:
    times = torch.tensor([0.0, math.pi / 4, math.pi / 2], dtype=torch.float64)
    x = torch.cartesian_prod(times, torch.arange(512, dtype=torch.float64) * 10 / 512 - 5)
    h = EQUATION.reference(x).reshape(3, 512, 2)
    mass = h.square().sum(dim=-1).mean(dim=1)
    torch.testing.assert_close(mass, mass[:1].expand(3), rtol=1e-10, atol=0)
    assert float(h[1].square().sum(dim=-1).sqrt().max()) == pytest.approx(4, abs=0.02)
    torch.testing.assert_close(h[0], EQUATION.initial(x[:512]), rtol=0, atol=1e-12)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Schroedinger, half=3.0) == {}
