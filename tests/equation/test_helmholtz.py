"""Helmholtz' right-hand side, and the residual of another function."""

from __future__ import annotations

import math

import pytest
import torch
from equations import inside, residual

from sciml.equation.helmholtz import Helmholtz
from sciml.errors import ConfigError

EQUATION = Helmholtz(a1=2, a2=3, k=1.5)


def test_residuals() -> None:
    x = inside(EQUATION)
    assert residual(EQUATION, EQUATION.reference, x).abs().max() < 1e-11
    source = (1.5**2 - 13 * math.pi**2) * torch.sin(2 * math.pi * x[:, :1]) * torch.sin(3 * math.pi * x[:, 1:])
    found = residual(EQUATION, lambda p: p[:, :1] ** 2 * p[:, 1:], x)
    torch.testing.assert_close(found, 2 * x[:, 1:] + 1.5**2 * x[:, :1] ** 2 * x[:, 1:] - source)


def test_a_solution_that_misses_the_boundary_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a2 is 2\.5; it must be a positive integer"):
        Helmholtz(a2=2.5)
