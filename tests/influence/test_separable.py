"""An inverse spectrum taken apart, against the sums written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.influence.score import Examples
from sciml.influence.separable import Separable, moments, take_apart


def examples(n: int, tokens: int, d_out: int, d_in: int) -> Examples:
    return Examples(torch.randn(n, tokens, d_in).double(), torch.randn(n, tokens, d_out).double())


def inverse_with_outliers() -> tuple[Tensor, Tensor]:
    """A matrix of rank 2 but for 30 of its 1200 entries, and those."""
    torch.manual_seed(1)
    smooth = torch.rand(30, 2, dtype=torch.float64) @ torch.rand(2, 40, dtype=torch.float64)
    where = torch.randperm(1200)[:30]
    return smooth.flatten().index_add(0, where, torch.full((30,), 10.0, dtype=torch.float64)).reshape(30, 40), where


def of(inverse: Tensor, rank: int, weights: Tensor | None = None) -> Separable:
    return take_apart(inverse, rank, torch.ones_like(inverse) if weights is None else weights)


@pytest.mark.parametrize("tokens", [1, 3])
def test_scores_are_the_sum_over_coordinates(tokens: int) -> None:
    torch.manual_seed(0)
    query, train = examples(4, tokens, 5, 7), examples(6, tokens, 5, 7)
    apart = of(torch.rand(5, 7, dtype=torch.float64), 1)
    expected = torch.einsum("qoj,oj,ioj->qi", query.gradients(), apart.matrix(), train.gradients())
    found = apart.scores(query, [train[:2], train[2:]], torch.float64)
    torch.testing.assert_close(found, expected)


def test_single_entries_take_what_outer_products_cannot() -> None:
    inverse, where = inverse_with_outliers()
    apart = of(inverse, 2)
    assert set(where.tolist()) <= set((apart.outs * 40 + apart.ins).tolist())
    torch.testing.assert_close(apart.matrix()[apart.outs, apart.ins], inverse[apart.outs, apart.ins])
    error = (apart.matrix() - inverse).norm()
    values = torch.linalg.svdvals(inverse)
    assert error < 0.25 * values[8:].norm()  # outer products alone, four times as many


def test_errors_go_where_they_count_least() -> None:
    torch.manual_seed(2)
    inverse = torch.rand(12, 20, dtype=torch.float64)
    weights = torch.ones_like(inverse)
    weights[6:] = 1e-4
    light = (of(inverse, 2, weights).matrix() - inverse).square()
    even = (of(inverse, 2).matrix() - inverse).square()
    assert light[:6].sum() < 0.3 * even[:6].sum()
    assert light[6:].sum() > even[6:].sum()


@pytest.mark.parametrize("tokens", [1, 3])
def test_every_example_counts_alike_in_the_moments(tokens: int) -> None:
    torch.manual_seed(3)
    some = examples(9, tokens, 3, 4)
    gradients = some.gradients()
    unit = gradients / gradients.flatten(1).norm(dim=1)[:, None, None]
    torch.testing.assert_close(moments(some), unit.square().sum(0))
