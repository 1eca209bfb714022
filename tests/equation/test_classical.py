"""Classical solvers converge with the order that they have."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.equation.allen_cahn import AllenCahn, phases
from sciml.equation.base import Equation
from sciml.equation.burgers import Burgers
from sciml.equation.classical import chebyshev
from sciml.equation.convection import Convection
from sciml.equation.helmholtz import Helmholtz
from sciml.equation.kdv import KdVSolitons
from sciml.equation.kovasznay import Kovasznay
from sciml.equation.reaction import Reaction
from sciml.equation.wave import Wave


def error(equation: Equation, n: int, *, periodic: bool) -> float:
    axes = [
        torch.linspace(a, b, n + 1, dtype=torch.float64) for a, b in zip(equation.lower, equation.upper, strict=True)
    ]
    if periodic:
        axes[-1] = axes[-1][:-1]
    reference = equation.reference(torch.cartesian_prod(*axes))
    found = equation.classical(axes)
    assert found.shape == reference.shape
    return float((found - reference).norm() / reference.norm())


@pytest.mark.parametrize(
    ("equation", "n", "periodic"),
    [(Convection(beta=5.0), 64, True), (Wave(beta=3.0), 64, False), (Burgers(nu=0.05), 32, False)],
)
def test_second_order(equation: Equation, n: int, periodic: bool) -> None:
    coarse, fine = (error(equation, m, periodic=periodic) for m in (n, 2 * n))
    assert coarse < 0.05
    assert 1.8 < math.log2(coarse / fine) < 2.3


def test_allen_cahn_is_of_second_order() -> None:
    equation = AllenCahn(epsilon=1e-2)
    series = phases(1e-2, 5.0, modes=64)

    def against(n: int) -> float:
        axes = [torch.linspace(0, 1, 11, dtype=torch.float64), -1 + 2 / n * torch.arange(n, dtype=torch.float64)]
        rows = torch.cartesian_prod(*axes)[n:]  # without t = 0
        return float((equation.classical(axes)[n:] - series(rows)).norm())

    assert math.log2(math.sqrt(2) * against(64) / against(128)) == pytest.approx(2, abs=0.4)


def test_an_ordinary_equation_needs_no_grid() -> None:
    assert error(Reaction(), 10, periodic=True) < 1e-7


def test_polynomials_converge_faster_than_any_power() -> None:
    x = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    equation = Helmholtz(a1=1, a2=1)

    def largest(degree: int) -> float:
        return float((chebyshev(equation, degree)(x) - equation.reference(x)).abs().max())

    errors = [largest(degree) for degree in (8, 12, 16)]
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 100
    assert errors[2] < errors[1] / 100


def test_newton_finds_a_flow_with_its_pressure() -> None:
    equation = Kovasznay(reynolds=20.0)
    equation.upper = (0.5, 0.5)
    x = torch.tensor([[0.0, 0.1], [-0.5, -0.5], [0.3, 0.45]], dtype=torch.float64)
    torch.testing.assert_close(chebyshev(equation, 10)(x), equation.reference(x), rtol=0, atol=2e-3)


def test_an_equation_without_a_solver_says_so() -> None:
    axes: list[Tensor] = [torch.linspace(0, 1, 3)] * 2
    with pytest.raises(NotImplementedError, match="KdVSolitons has no classical solver"):
        KdVSolitons().classical(axes)
