from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.influence.base import Params
from sciml.influence.evaluation.leave_one_out import LeaveOneOut
from sciml.influence.task.ridge import Ridge


def case() -> tuple[Ridge, Params, Tensor]:
    """Task, parameters, and the actual changes, one example after the other."""
    torch.manual_seed(0)
    task = Ridge(n_train=20, n_query=6)
    params = {"theta": task.fit(torch.ones(1, 20))["theta"][0]}
    columns = []
    for i in range(task.n_train):
        weights = torch.ones(1, task.n_train)
        weights[0, i] = 0
        left_out = {name: p[0] for name, p in task.fit(weights).items()}
        columns.append(task.measure(left_out) - task.measure(params))
    return task, params, torch.stack(columns, dim=1)


@pytest.mark.parametrize("batch_size", [256, 7])
def test_actual_changes_score_one_everywhere(batch_size: int) -> None:
    task, params, changes = case()
    found = LeaveOneOut(batch_size=batch_size)(task, params, changes)
    assert found.metrics == pytest.approx({"spearman": 1, "pearson": 1, "scale_ratio": 1})
    assert found.retrainings == 21
    assert set(found.figures) == {"predicted_against_actual"}


def test_sign_and_scale_are_seen() -> None:
    task, params, changes = case()
    found = LeaveOneOut()(task, params, -2 * changes)
    assert found.metrics == pytest.approx({"spearman": -1, "pearson": -1, "scale_ratio": -0.5})


def test_spearman_sees_the_order_and_pearson_the_values() -> None:
    task, params, changes = case()
    found = LeaveOneOut(repeats=2)(task, params, changes**3)
    assert found.metrics["spearman"] == pytest.approx(1)
    assert found.metrics["pearson"] < 0.98
    assert found.retrainings == 42
