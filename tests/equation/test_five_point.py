from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.equation.five_point import Cycle, FivePoint


def operator(intervals: int, contrast: float = 4.0) -> FivePoint:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, intervals, intervals - 1, generator=generator, dtype=torch.float64)
    y = torch.rand(1, intervals - 1, intervals, generator=generator, dtype=torch.float64)
    return FivePoint(1 + (contrast - 1) * x, 1 + (contrast - 1) * y)


def dense(apply: Cycle | FivePoint, n: int) -> Tensor:
    units = torch.eye(n * n, dtype=torch.float64).reshape(-1, 1, n, n)
    of = apply.apply if isinstance(apply, FivePoint) else apply
    return torch.stack([of(unit).flatten().clone() for unit in units], dim=1)


@pytest.mark.parametrize("intervals", [7, 8, 18])
def test_a_cycle_is_a_symmetric_positive_approximation_of_the_inverse(
    intervals: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sciml.equation.five_point._COARSEST", 3)
    made = operator(intervals)
    cycle, matrix = dense(Cycle(made), intervals - 1), dense(made, intervals - 1)
    torch.testing.assert_close(matrix, matrix.mT)
    torch.testing.assert_close(cycle, cycle.mT)
    product = torch.linalg.eigvals(cycle @ matrix)
    assert product.imag.abs().max() < 1e-9
    condition = product.real.max() / product.real.min()
    assert condition < (4.1 if intervals % 2 else 2.2), condition  # without a V-cycle that of the coefficient


def test_steps_on_the_last_grid_are_those_of_chebyshev() -> None:
    made = operator(9)
    cycle = Cycle(made)
    cycle._steps = 3
    values = torch.linalg.eigvals(dense(cycle, 8) @ dense(made, 8)).real
    # For eigenvalues in [1, 4] what is left is at most 1 / T₃(5/3) = 1 / (4 (5/3)³ − 3 (5/3)).
    assert (values - 1).abs().max() < 1 / (4 * (5 / 3) ** 3 - 5)


def test_a_coarse_operator_of_a_constant_is_the_operator_of_the_constant() -> None:
    ones = FivePoint(torch.full((1, 8, 7), 3.0), torch.full((1, 7, 8), 3.0)).coarse()
    assert ones.along_x.shape == (1, 4, 3)
    assert (ones.along_x == 3).all()
    assert (ones.along_y == 3).all()


def test_a_layer_is_crossed_as_resistors_in_a_row() -> None:
    along_x = torch.tensor([1.0, 4.0, 2.0, 2.0]).reshape(1, 4, 1).expand(1, 4, 3)
    coarse = FivePoint(along_x, torch.ones(1, 3, 4)).coarse()
    torch.testing.assert_close(coarse.along_x.flatten(), torch.tensor([1.6, 2.0]))


def test_what_is_left_is_the_right_side_without_the_operator() -> None:
    made = operator(9)
    u, r = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    product = made.apply(u).clone()
    torch.testing.assert_close(made.residual(r, u), r - product)
