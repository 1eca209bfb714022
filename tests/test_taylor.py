"""How many channels an operator takes, and what is refused. That they are right is tested in pinn/test_jet.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sciml.equation.operator import IDENTITY, Operator, laplacian, partials
from sciml.taylor import Taylor, Unsupported
from sciml.taylor_plan import Plan

T, X, Y = partials(3)


@pytest.mark.parametrize(
    ("operators", "channels"),
    [
        ((T + 30 * X,), 1),
        ((T, X, X**2), 3),
        ((T - 0.1 * X**2,), 2),  # ∂x and the sum
        ((laplacian(X, Y),), 3),
        ((laplacian(*partials(10)),), 11),
        ((laplacian(X, Y) ** 2,), 8),  # 2 first, 3 second, ∂x Δ, ∂y Δ, Δ²
        ((X**4,), 4),
        ((X, Y, X**2, Y**2, laplacian(X, Y)), 4),  # the sum of two that are there is none of its own
        ((laplacian(X, Y), -3.0 * laplacian(X, Y)), 3),
        ((X * laplacian(X, Y),), 5),
    ],
)
def test_channels(operators: tuple[Operator, ...], channels: int) -> None:
    assert len(Plan(operators).channels) == channels


@pytest.mark.parametrize("operator", [IDENTITY, X + IDENTITY, X**5, Operator({})])
def test_operators_that_are_refused(operator: Operator) -> None:
    with pytest.raises(ValueError, match="must have order 1 to 4 and no constant term"):
        Plan([operator])


def test_arithmetic_of_operators() -> None:
    assert (X + Y) ** 2 == X**2 + 2 * X * Y + Y**2
    assert X * Y == Y * X
    assert Operator({}) == T - T
    assert -X + 2.0 * X == X
    assert hash(X * Y) == hash(Y * X)
    assert (T + X**3 * Y).order == 4
    assert repr(T - 0.5 * X**2) == "Operator(1 ∂0 + -0.5 ∂11)"


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x**0.5,
        lambda x: x[0],
        lambda x: torch.cat([x, x], dim=0),
        lambda x: nn.functional.softmax(x, dim=0),
        lambda x: x.unbind(0),
    ],
)
def test_what_has_no_rule_is_refused(function) -> None:
    with pytest.raises(Unsupported):
        function(Taylor.inputs(Plan([T]), torch.zeros(4, 3)))
