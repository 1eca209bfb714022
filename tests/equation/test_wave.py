"""The standing waves, and residuals of other functions."""

from __future__ import annotations

import math

import pytest
import torch
from equations import inside, residual

from sciml.equation.wave import Wave
from sciml.errors import ConfigError


@pytest.mark.parametrize("beta", [3.0, 5.0])
def test_residuals(beta: float) -> None:
    equation = Wave(beta=beta)
    x = inside(equation)
    assert residual(equation, equation.reference, x).abs().max() < 1e-11
    found = residual(equation, lambda p: p[:, :1] ** 3 * p[:, 1:] ** 2, x)
    torch.testing.assert_close(found, 6 * x[:, :1] * x[:, 1:] ** 2 - 4 * 2 * x[:, :1] ** 3)


def test_reference_by_hand() -> None:
    # d'Alembert: u(t, x) is the mean of the odd continuation of the initial values at x ± 2t.
    equation = Wave(beta=5.0)
    x = inside(equation)
    ends = [torch.stack([x[:, 0], x[:, 1] + sign * 2 * x[:, 0]], dim=1) for sign in (1, -1)]
    torch.testing.assert_close(equation.reference(x), sum(map(equation.initial, ends)) / 2)
    middle = torch.tensor([[0.0, 0.5]], dtype=torch.float64)
    assert equation.initial(middle) == pytest.approx(1.5)
    assert Wave(beta=3.0).initial(middle) == pytest.approx(0.5)
    assert math.isclose(float(equation.initial_velocity(middle)), 0.0)


def test_a_mode_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"beta is 2\.5; it must be a positive integer"):
        Wave(beta=2.5)
