from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.influence.attributor.exact_hessian import ExactHessian
from sciml.influence.base import Params, Task
from sciml.influence.task.ridge import Ridge


def fitted() -> tuple[Ridge, Params]:
    torch.manual_seed(0)
    task = Ridge(n_train=9, n_query=4, features=3, decay=0.5)
    return task, {"theta": task.fit(torch.ones(1, 9))["theta"][0]}


@pytest.mark.parametrize("damping", [0.0, 2.0])
def test_it_equals_the_formula_written_out_for_ridge(damping: float) -> None:
    task, params = fitted()
    hessian = task.x.T @ task.x + (0.5 + damping) * torch.eye(3, dtype=torch.float64)
    residual, query_residual = task.x @ params["theta"] - task.y, task.x_query @ params["theta"] - task.y_query
    expected = torch.zeros(4, 9, dtype=torch.float64)
    for q in range(4):
        for i in range(9):
            direction = torch.linalg.solve(hessian, residual[i] * task.x[i])
            expected[q, i] = query_residual[q] * task.x_query[q] @ direction
    torch.testing.assert_close(ExactHessian(damping=damping)(task, params), expected)


def test_leverage_turns_it_into_the_exact_change_of_the_parameters() -> None:
    """Leaving i out moves theta by H^-1 x_i r_i / (1 - h_i), h_i = x_i^T H^-1 x_i (Cook and Weisberg 1982)."""
    task, params = fitted()
    left_out = task.fit(1 - torch.eye(9))["theta"]
    hessian = task.x.T @ task.x + 0.5 * torch.eye(3, dtype=torch.float64)
    leverage = (task.x * torch.linalg.solve(hessian, task.x.T).T).sum(1)
    first_order = ExactHessian()(task, params) / (1 - leverage)
    moved = (left_out - params["theta"]) @ task.x_query.T  # change of each prediction, (n_train, n_query)
    query_residual = task.x_query @ params["theta"] - task.y_query
    torch.testing.assert_close(first_order, moved.T * query_residual[:, None])


class Saddle(Task):
    """Two parameter tensors, the second at a maximum of its loss."""

    n_train, n_query, decay = 2, 1, 0.0

    def losses(self, params: Params) -> torch.Tensor:
        return torch.stack([params["a"].square().sum(), -params["b"].square().sum()])

    def measure(self, params: Params) -> torch.Tensor:
        return params["a"].sum()[None]

    def fit(self, weights: torch.Tensor) -> Params:
        return {"a": torch.zeros(len(weights), 2), "b": torch.zeros(len(weights), 1)}


def test_a_saddle_is_refused_with_its_lowest_eigenvalue() -> None:
    task = Saddle()
    params = {name: p[0] for name, p in task.fit(torch.ones(1, 2)).items()}
    with pytest.raises(RunError, match="eigenvalue -2"):
        ExactHessian()(task, params)
    assert ExactHessian(damping=3.0)(task, params).shape == (1, 2)
