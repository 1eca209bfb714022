"""The reference solves the equation, and what does not solve it leaves the residual that it should."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sciml.equation.convection import Convection
from sciml.pinn.jet import Jet

BETA = 30.0
EQUATION = Convection(beta=BETA)
X = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * torch.tensor(
    [1.0, 2 * math.pi]
)


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def residual(function) -> Tensor:
    return EQUATION.residual(Jet(Function(function)), X)


def test_the_reference_solves_it() -> None:
    assert residual(EQUATION.reference).shape == (200, 1)
    assert residual(EQUATION.reference).abs().max() < 1e-12


def test_residuals_of_functions_that_do_not() -> None:
    t, x = X[:, :1], X[:, 1:]
    torch.testing.assert_close(residual(lambda p: p[:, :1] ** 2 * p[:, 1:]), 2 * t * x + BETA * t**2)
    # The wave that runs the wrong way, and one that is too slow by 1.
    torch.testing.assert_close(
        residual(lambda p: torch.sin(p[:, 1:] + BETA * p[:, :1])), 2 * BETA * torch.cos(x + BETA * t)
    )
    slow = residual(lambda p: torch.sin(p[:, 1:] - (BETA - 1) * p[:, :1]))
    torch.testing.assert_close(slow, torch.cos(x - (BETA - 1) * t))


def test_reference_by_hand() -> None:
    # After 1/60 of time the wave has moved by 1/2; after 2π/30 it is where it started.
    points = torch.tensor([[1 / 60, 0.5], [1 / 60, 0.5 + math.pi / 2], [2 * math.pi / 30, 1.0]])
    expected = torch.tensor([[0.0], [1.0], [math.sin(1.0)]], dtype=torch.float64)
    torch.testing.assert_close(EQUATION.reference(points), expected, atol=1e-5, rtol=0)
    assert EQUATION.reference(points).dtype == torch.float64


def test_initial_values_are_the_reference_at_the_start() -> None:
    start = X.clone()
    start[:, 0] = 0
    torch.testing.assert_close(EQUATION.initial(start), EQUATION.reference(start))
    torch.testing.assert_close(EQUATION.initial(X), EQUATION.initial(start))
