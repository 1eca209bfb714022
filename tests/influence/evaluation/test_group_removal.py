from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.errors import ConfigError
from sciml.influence.base import Params, Task
from sciml.influence.evaluation.group_removal import GroupRemoval, interval


class Additive(Task):
    """The measurement is the weighted sum of the examples' values: removal does exactly what values say."""

    n_train, n_query, decay = 10, 2, 0.0

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("values", torch.arange(10.0) - 4.2)
        self.removed: list[list[int]] = []

    def losses(self, params: Params) -> Tensor:
        return params["theta"][0] * self.values

    def measure(self, params: Params) -> Tensor:
        return params["theta"]

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        self.removed += [(row == 0).nonzero()[:, 0].tolist() for row in weights]
        total = (1 - weights.to(self.values)) @ self.values
        return {"theta": torch.stack([total, -2 * total], dim=1)}


def scores(task: Additive) -> Tensor:
    return torch.stack([task.values, -2 * task.values])


def test_strata_hold_every_example_once_from_the_highest_score_down() -> None:
    task = Additive()
    found = GroupRemoval(groups=4)(task, {}, scores(task))
    assert task.removed[0] == []
    assert task.removed[1:5] == [[7, 8, 9], [4, 5, 6], [2, 3], [0, 1]]
    assert task.removed[5:9] == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
    assert found.retrainings == 9
    assert found.metrics == pytest.approx(
        {
            "spearman": 1,
            "spearman_low": found.metrics["spearman_low"],
            "spearman_high": 1,
            "pearson": 1,
            "slope": 1,
            # Each query's own: 7 + 8 + 9 - 3 * 4.2 and -2 (0 + 1 + 2 - 3 * 4.2), and so on.
            "top": (11.4 + 19.2) / 2,
            "bottom": (-7.4 - 17.2) / 2,
        }
    )
    assert set(found.figures) == {"group_removal"}


def test_sign_and_scale_are_seen() -> None:
    task = Additive()
    found = GroupRemoval(groups=5)(task, {}, -2 * scores(task)).metrics
    assert (found["spearman"], found["slope"]) == pytest.approx((-1, -0.5))


def test_only_the_first_queries_have_trainings() -> None:
    task = Additive()
    assert GroupRemoval(groups=5, queries=1)(task, {}, scores(task)).retrainings == 6


def test_the_interval_is_that_of_resampled_groups() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 30, generator=generator, dtype=torch.float64)
    y = 0.7 * x + 0.5**0.5 * torch.randn(1, 30, generator=generator, dtype=torch.float64)
    low, high = interval(x, y, 2000, generator)
    # Fisher's z for 30 pairs has the standard error 1 / sqrt(27), the interval is about 1.96 of them to either side.
    middle = torch.tensor([low, high]).atanh()
    assert float(middle[1] - middle[0]) == pytest.approx(2 * 1.96 / 27**0.5, rel=0.35)


def test_numbers_of_groups() -> None:
    task = Additive()
    with pytest.raises(ConfigError, match="groups is 11, but the task has only 10"):
        GroupRemoval(groups=11)(task, {}, scores(task))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(GroupRemoval, groups=1) == {}
