from __future__ import annotations

import pytest
import torch
from refusals import accepted
from supervised_toy import toy
from torch import Tensor

from sciml.errors import ConfigError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.evaluation.base import FRESH
from sciml.influence.evaluation.removal import Removal


class Worth(Task):
    """Query q loses what its examples are worth to it when they go; nothing else happens, but in repeats an offset."""

    n_train, n_query, decay = 6, 2, 0.0
    worth = torch.tensor([[5.0, 4, 3, 2, 1, 0], [0.0, 10, 20, 30, 40, 50]])

    def losses(self, params: Params) -> Tensor:
        return params["theta"]

    def measure(self, params: Params) -> Tensor:
        return self.worth @ (1 - params["theta"]) + params["offset"]

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        return {"theta": weights, "offset": torch.full((len(weights),), float(repeat))}


class Opposite(Attributor):
    def __call__(self, task: Task, params: Params) -> Tensor:
        return -Worth.worth


def test_rises_by_hand() -> None:
    evaluation = Removal(counts=[1, 3], queries=5, repeats=2, draws=200, against={"opposite": Opposite()})
    found = evaluation(Worth(), {}, Worth.worth)
    assert found.metrics["rise_1"] == (5 + 50) / 2
    assert found.metrics["rise"] == (12 + 120) / 2
    assert found.metrics["rise_opposite"] == (3 + 30) / 2
    # three of six at random: half of 15 and half of 150
    assert found.metrics["rise_random"] == pytest.approx((7.5 + 75) / 2, rel=0.1)
    assert found.retrainings == 2 * (1 + 2 * (2 * 2 + 200))
    assert set(found.figures) == {"removal"}


def test_rises_of_a_network_written_out() -> None:
    task, scores = toy(), torch.randn(8, 30, generator=torch.Generator().manual_seed(3))
    rises = []
    for q in range(2):
        for repeat in (FRESH, FRESH + 1):
            weights = torch.ones(2, 30)
            weights[1, scores[q].argsort(descending=True)[:4]] = 0
            params = task.fit(weights, repeat=repeat)
            measured = [task.measure({k: p[i] for k, p in params.items()})[q] for i in range(2)]
            rises.append(float(measured[1] - measured[0]))
    found = Removal(counts=[4], queries=2, repeats=2, draws=1)(task, {}, scores)
    assert found.metrics["rise"] == pytest.approx(sum(rises) / 4)


def test_counts_must_rise_and_leave_something() -> None:
    for counts in ([], [3, 2], [2, 2]):
        with pytest.raises(ConfigError, match=r"influence\.evaluation\.counts"):
            Removal(counts=counts)
    with pytest.raises(ConfigError, match="removes 6 of 6"):
        Removal(counts=[6])(Worth(), {}, Worth.worth)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Removal, counts=[0, 1]) == {}
