from __future__ import annotations

import pytest
import torch

from sciml.influence.correlation import pearson, ranks, spearman


def test_ties_share_the_mean_of_their_ranks() -> None:
    assert ranks(torch.tensor([[3.0, 1.0, 3.0, 2.0, 3.0]])).tolist() == [[4.0, 1.0, 4.0, 2.0, 4.0]]


def test_pearson_by_hand() -> None:
    # centred: (-1, 0, 1) and (-2, 1, 1): 3 / sqrt(2 * 6)
    x, y = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.0, 3.0, 3.0])
    torch.testing.assert_close(pearson(x, y), torch.tensor(3 / 12**0.5, dtype=torch.float64))


def test_spearman_with_ties_by_hand() -> None:
    # the ranks are 1, 2.5, 2.5, 4 and 4, 2, 3, 1
    x, y = torch.tensor([0.0, 5.0, 5.0, 9.0]), torch.tensor([8.0, 2.0, 3.0, 1.0])
    expected = -4.5 / (4.5 * 5.0) ** 0.5
    torch.testing.assert_close(spearman(x, y), torch.tensor(expected, dtype=torch.float64))


def test_spearman_sees_order_only_and_rows_apart() -> None:
    x = torch.tensor([[0.1, 0.2, 0.3], [3.0, 2.0, 1.0]])
    assert spearman(x.exp() ** 5, x).tolist() == pytest.approx([1.0, 1.0])
    assert spearman(x, torch.tensor([1.0, 2.0, 3.0]).expand(2, 3)).tolist() == pytest.approx([1.0, -1.0])


def test_a_row_without_spread_has_no_correlation() -> None:
    assert pearson(torch.full((3,), 0.1), torch.tensor([1.0, 2.0, 3.0])) == 0.0
