from __future__ import annotations

import pytest
import torch
from network_task import ggn, given, layers_of, mlp, parameters
from torch import nn

from sciml.errors import RunError
from sciml.influence.attributor.exact_hessian import ExactHessian
from sciml.influence.attributor.ggn import GGN
from sciml.influence.base import Task
from sciml.influence.layered import layered
from sciml.influence.rows import gathered
from sciml.influence.task.ridge import Ridge
from sciml.linalg.woodbury import Woodbury


def test_for_a_linear_model_with_squared_loss_it_is_the_exact_influence() -> None:
    torch.manual_seed(0)
    task = Ridge(n_train=12, n_query=5)
    params = {"theta": task.fit(torch.ones(1, 12))["theta"][0]}
    torch.testing.assert_close(GGN(damping=0.0)(task, params), ExactHessian()(task, params))


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("n", [3, 30])
def test_rows_are_a_root_of_the_second_derivative_of_the_loss_between_jacobians(squared: bool, n: int) -> None:
    torch.manual_seed(1)
    task = given(mlp(3, 4, 2), 2, 3, n=n, squared=squared)
    params = parameters(task)
    rows = task.jacobian(params)
    block = ["0.weight"]
    torch.testing.assert_close((rows.T @ rows)[:12, :12], ggn(task, params)(block))
    matrix = rows.T @ rows
    matrix += (task.decay + 0.1 * matrix.trace() / len(matrix)) * torch.eye(len(matrix), dtype=torch.float64)
    expected = task.query_gradients(params) @ torch.linalg.solve(matrix, task.gradients(params).T)
    torch.testing.assert_close(GGN()(task, params), expected)
    assert len(layers_of(task)) == 2


@pytest.mark.parametrize("squared", [True, False])
def test_by_parameters_it_is_what_it_is_by_rows(squared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """60 rows and 26 parameters, in blocks; the other side is taken where the rows' Gram matrix is given."""
    torch.manual_seed(3)
    monkeypatch.setattr("sciml.influence.base.BLOCK", 7)
    task = given(mlp(3, 4, 2), 2, 3, n=30, squared=squared)
    params = parameters(task)
    rows = task.jacobian(params)
    kept, moments = gathered(task.blocks(params), rows.shape[1])
    assert moments is not None
    assert len(kept) == 0
    assert gathered(task.blocks(params), 60)[1] is None
    torch.testing.assert_close(gathered(task.blocks(params), 60)[0], rows)
    damping = task.decay + 0.1 * float(rows.square().sum()) / rows.shape[1]
    dual = Woodbury(rows, damping, gram=rows @ rows.T)
    expected = dual.quadratic(task.query_gradients(params), task.gradients(params))
    torch.testing.assert_close(GGN()(task, params), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_summed_up_by_layers_it_is_what_it_is_by_rows(
    squared: bool, bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(4)
    monkeypatch.setattr("sciml.influence.layered.BATCH", 11)
    network = nn.Sequential(nn.Linear(3, 2, bias=bias), nn.Tanh(), nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    task = given(network, 3, 3, n=40, squared=squared)
    params = parameters(task)
    rows = task.jacobian(params)
    found = layered(task, params)
    assert found is not None
    torch.testing.assert_close(found, rows.T @ rows)
    task.x = task.x.float()
    task.network.float()
    single = layered(task, parameters(task))
    assert single is not None
    torch.testing.assert_close(single, found, rtol=1e-4, atol=1e-4)


def test_rows_are_formed_where_layers_do_not_say_it_all() -> None:
    torch.manual_seed(5)
    normed = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.Linear(2, 2)).double()
    for task in (given(normed, 2, 3, n=30), given(mlp(3, 4, 2), 2, 3, n=3)):
        assert layered(task, parameters(task)) is None
        GGN()(task, parameters(task))


def test_gradients_of_a_network_are_those_of_any_task() -> None:
    """An LSTM cell cannot be mapped over examples; it goes one by one."""

    class Cell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTMCell(2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            state = None
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
            assert state is not None
            return state[0]

    torch.manual_seed(2)
    for task in (given(mlp(3, 4, 2), 2, 3), given(Cell(), 3, 4, 2, n=4, queries=2)):
        params = parameters(task)
        for mine, general in ((task.gradients, Task.gradients), (task.query_gradients, Task.query_gradients)):
            torch.testing.assert_close(mine(params), general(task, params))


def test_what_does_not_fit_is_refused_with_a_way_out() -> None:
    task = given(mlp(3, 4, 2), 2, 3, decay=0.0)
    with pytest.raises(RunError, match="influence/attributor=ekfac"):
        GGN(memory=1e-9)(task, parameters(task))
    with pytest.raises(RunError, match=r"damping must be positive"):
        GGN(damping=0.0)(task, parameters(task))
