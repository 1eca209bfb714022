"""Poisson's right-hand side on any square."""

from __future__ import annotations

import math

import pytest
import torch
from equations import inside, residual

from sciml.equation.poisson import Poisson


@pytest.mark.parametrize("length", [1.0, 4.0])
def test_residuals(length: float) -> None:
    equation = Poisson(length=length)
    x = inside(equation)
    assert residual(equation, equation.reference, x).abs().max() < 1e-12
    source = 2 * (math.pi / length) ** 2 * torch.sin(math.pi / length * x).prod(dim=1, keepdim=True)
    found = residual(equation, lambda p: p[:, :1] ** 2 * p[:, 1:] ** 3, x)
    torch.testing.assert_close(found, 2 * x[:, 1:] ** 3 + 6 * x[:, :1] ** 2 * x[:, 1:] + source)


def test_the_ansatz_is_the_network_in_the_middle() -> None:
    middle = torch.tensor([[2.0, 2.0]])
    torch.testing.assert_close(Poisson(length=4.0).ansatz(torch.tensor([[0.7]]), middle), torch.tensor([[0.7]]))
