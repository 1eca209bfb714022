"""The right-hand side of Klein and Gordon's equation belongs to the chosen solution."""

from __future__ import annotations

import math

import torch
from equations import inside, residual

from sciml.equation.klein_gordon import KleinGordon

EQUATION = KleinGordon()


def test_residuals() -> None:
    x = inside(EQUATION)
    t, along = x[:, :1], x[:, 1:]
    assert residual(EQUATION, EQUATION.reference, x).abs().max() < 1e-11
    # u = t² x has u_tt = 2x; f is what the chosen solution leaves of the left side.
    f = residual(EQUATION, lambda p: 0 * p[:, :1] * p[:, 1:], x)
    torch.testing.assert_close(
        residual(EQUATION, lambda p: p[:, :1] ** 2 * p[:, 1:], x), 2 * along + (t**2 * along) ** 3 + f
    )


def test_prescribed_values() -> None:
    x = inside(EQUATION)
    start = x * torch.tensor([0.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(EQUATION.initial(x), EQUATION.reference(start))
    x[:, 1] = 1.0
    torch.testing.assert_close(EQUATION.boundary(x), torch.cos(5 * math.pi * x[:, :1]) + x[:, :1] ** 3)
