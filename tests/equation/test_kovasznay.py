"""Kovasznay's flow solves the Navier-Stokes equations; other flows leave what they should, equation by equation."""

from __future__ import annotations

import torch
from equations import inside, residual
from refusals import accepted

from sciml.equation.kovasznay import Kovasznay

EQUATION = Kovasznay()
X = inside(EQUATION)


def test_the_reference_solves_it_and_that_of_another_reynolds_number_does_not() -> None:
    assert residual(EQUATION, EQUATION.reference, X).abs().max() < 1e-12
    wrong = residual(EQUATION, Kovasznay(reynolds=50.0).reference, X).abs().amax(dim=0)
    assert wrong[:2].min() > 1e-3
    assert wrong[2] < 1e-12, "it is divergence-free all the same"


def test_residuals_of_other_flows() -> None:
    x, y = X.unbind(-1)

    def stack(*columns: torch.Tensor) -> torch.Tensor:
        return torch.stack(columns, dim=-1)

    # u = x² y, v = x y², p = x + 3y
    found = residual(
        EQUATION, lambda p: stack(p[:, 0] ** 2 * p[:, 1], p[:, 0] * p[:, 1] ** 2, p[:, 0] + 3 * p[:, 1]), X
    )
    u, v = x**2 * y, x * y**2
    expected = stack(u * 2 * x * y + v * x**2 + 1 - 2 * y / 40, u * y**2 + v * 2 * x * y + 3 - 2 * x / 40, 4 * x * y)
    torch.testing.assert_close(found, expected)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Kovasznay, reynolds=0) == {}
