"""Logistic growth by hand, and residuals of other functions."""

from __future__ import annotations

import math

import torch
from equations import inside, residual

from sciml.equation.reaction import Reaction

EQUATION = Reaction()


def test_residuals() -> None:
    x = inside(EQUATION)
    assert residual(EQUATION, EQUATION.reference, x).abs().max() < 1e-13
    found = residual(EQUATION, lambda p: p[:, :1] ** 2 * p[:, 1:], x)
    u = x[:, :1] ** 2 * x[:, 1:]
    torch.testing.assert_close(found, 2 * x[:, :1] * x[:, 1:] - 5 * u * (1 - u))


def test_reference_by_hand() -> None:
    # A quarter turn from the middle h is e^{-2}; the odds u / (1 - u) grow by e^{5t}.
    x = torch.tensor([[0.0, math.pi], [0.0, math.pi / 2], [0.4, math.pi / 2]], dtype=torch.float64)
    h = math.exp(-2)
    odds = h / (1 - h) * math.exp(2)
    expected = torch.tensor([[1.0], [h], [odds / (1 + odds)]], dtype=torch.float64)
    torch.testing.assert_close(EQUATION.reference(x), expected)
    torch.testing.assert_close(EQUATION.initial(x[:2]), expected[:2])
