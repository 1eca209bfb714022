from __future__ import annotations

import pytest
import torch
from network_task import given, mlp, parameters
from refusals import accepted

from sciml.errors import RunError
from sciml.influence.attributor.ggn import GGN
from sciml.influence.attributor.lissa import LiSSA
from sciml.influence.correlation import pearson


def test_with_all_examples_it_is_the_neumann_series_of_the_damped_matrix() -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 2), 2, 3)
    params = parameters(task)
    rows = task.jacobian(params)
    matrix = rows.T @ rows
    matrix += (task.decay + 0.1 * matrix.trace() / len(matrix)) * torch.eye(len(matrix), dtype=torch.float64)
    step = torch.eye(len(matrix), dtype=torch.float64) - matrix / 40
    series = sum(torch.linalg.matrix_power(step, j) for j in range(5)) / 40
    expected = task.query_gradients(params) @ series @ task.gradients(params).T
    torch.testing.assert_close(LiSSA(depth=5, batch_size=0, scale=40.0)(task, params), expected)


def test_it_converges_to_the_dual_solve() -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 2), 2, 3)
    params = parameters(task)
    exact = GGN(damping=1.0)(task, params)
    found = LiSSA(damping=1.0, depth=100, batch_size=0)(task, params)
    torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-4)
    sampled = LiSSA(damping=1.0, depth=100, batch_size=4)(task, params)
    assert float(pearson(sampled.flatten(), exact.flatten())) > 0.95
    # The batch's share of the data is made up for: the size is right too, not only the order.
    assert float((sampled * exact).sum() / exact.square().sum()) == pytest.approx(1, abs=0.15)


def test_a_series_that_diverges_is_refused_with_the_key() -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 2), 2, 3)
    with pytest.raises(RunError, match=r"influence.attributor.scale"):
        LiSSA(depth=50, scale=0.1)(task, parameters(task))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(LiSSA, damping=-0.1, depth=0, repeats=0, scale=-0.1, probes=0) == {}
