"""The Cole-Hopf solution against more nodes, symmetry, the front's slope, and residuals of other functions."""

from __future__ import annotations

import math

import pytest
import torch
from equations import inside, residual
from refusals import accepted

from sciml.equation.burgers import Burgers

EQUATION = Burgers()
FRONT = torch.cartesian_prod(
    torch.linspace(0, 1, 21, dtype=torch.float64), torch.linspace(-0.02, 0.02, 21, dtype=torch.float64)
)


def test_the_quadrature_has_converged() -> None:
    for x in (inside(EQUATION), FRONT):
        torch.testing.assert_close(EQUATION.reference(x), Burgers(nodes=200).reference(x), atol=1e-13, rtol=0)


def test_the_reference_solves_it() -> None:
    assert residual(EQUATION, EQUATION.reference, inside(EQUATION)).abs().max() < 1e-12


def test_residual_of_another_function() -> None:
    x = inside(EQUATION)
    t, along = x[:, :1], x[:, 1:]
    found = residual(EQUATION, lambda p: p[:, :1] * p[:, 1:] ** 2, x)
    torch.testing.assert_close(found, along**2 + 2 * t**2 * along**3 - 0.01 / math.pi * 2 * t)


def test_steepest_slope_of_the_front() -> None:
    # Basdevant et al. 1986, table 1: |du/dx| at x = 0 is largest at t = 1.6037/pi, where it is 152.00516.
    x = torch.tensor([[1.6037 / math.pi, 0.0]], dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(EQUATION.reference(x).sum(), x)[0][0, 1]
    assert float(slope) == pytest.approx(-152.00516, abs=1e-4)


def test_symmetry_start_and_ends() -> None:
    x = inside(EQUATION)
    torch.testing.assert_close(EQUATION.reference(x * torch.tensor([1, -1])), -EQUATION.reference(x))
    x[:, 0] = 0
    torch.testing.assert_close(EQUATION.reference(x), EQUATION.initial(x))
    x[:, 0], x[:, 1] = torch.linspace(0, 1, len(x)), 1.0
    torch.testing.assert_close(EQUATION.reference(x), EQUATION.boundary(x), atol=1e-13, rtol=0)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Burgers, nodes=201) == {}
