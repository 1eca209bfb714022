"""Where the conditions' points lie, and what each residual measures."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sciml.equation.convection import Convection
from sciml.pinn.jet import Jet
from sciml.pinn.problem.periodic import Periodic

PROBLEM = Periodic(equation=Convection(beta=30.0), n_x=16, n_t=11)


class Field(nn.Module):
    """t² + x, whose residuals are known everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] ** 2 + x[:, 1:]


def test_points_of_the_conditions() -> None:
    points = PROBLEM.sample(50, torch.Generator().manual_seed(0))
    x = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16  # the end is the start and is left out
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(points["initial"], torch.stack([torch.zeros(16).double(), x], dim=1))
    torch.testing.assert_close(points["boundary"][:, 0], torch.stack([t, torch.zeros(11).double()], dim=1))
    torch.testing.assert_close(
        points["boundary"][:, 1], torch.stack([t, torch.full((11,), 2 * math.pi).double()], dim=1)
    )
    assert points["residual"].shape == (50, 2)
    assert list(PROBLEM.axes) == ["t", "x"]
    torch.testing.assert_close(PROBLEM.axes["x"], x)


def test_residuals_of_a_known_function() -> None:
    points = PROBLEM.sample(50, torch.Generator().manual_seed(0))
    found = PROBLEM.residuals(Jet(Field()), points)
    t, x = points["residual"].split(1, dim=1)
    torch.testing.assert_close(found["residual"], 2 * t + 30.0)
    x = points["initial"][:, 1:]
    torch.testing.assert_close(found["initial"], x - torch.sin(x))
    torch.testing.assert_close(found["boundary"], torch.full((11, 1), -2 * math.pi).double())


def test_only_the_conditions_asked_for() -> None:
    points = PROBLEM.sample(5, torch.Generator().manual_seed(0))
    jet = Jet(Field())
    for names in (["residual"], ["initial"], ["boundary"], ["initial", "boundary"], []):
        found = PROBLEM.residuals(jet, {name: points[name] for name in names})
        assert list(found) == names
        for name in names:
            torch.testing.assert_close(found[name], PROBLEM.residuals(jet, points)[name])
