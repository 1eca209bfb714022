from __future__ import annotations

import logging

import pytest
import torch
from network_task import given, mlp, parameters, pooled
from refusals import accepted

from sciml.errors import RunError
from sciml.influence.attributor.cg import CG
from sciml.influence.attributor.ggn import GGN
from sciml.influence.ggn_product import product
from sciml.influence.task.ridge import Ridge


def test_products_are_those_of_the_rows() -> None:
    torch.manual_seed(0)
    for task in (given(mlp(3, 4, 2), 2, 3), given(mlp(3, 4, 2), 2, 3, squared=True), pooled()):
        params = parameters(task)
        rows = task.jacobian(params)
        v = torch.randn(2, rows.shape[1], dtype=torch.float64)
        torch.testing.assert_close(product(task, params)(v), v @ rows.T @ rows)


def test_it_converges_to_the_dual_solve() -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 2), 2, 3)
    params = parameters(task)
    found = CG(tolerance=1e-12, max_steps=60)(task, params)
    torch.testing.assert_close(found, GGN()(task, params), rtol=1e-8, atol=1e-10)


def test_it_attributes_tasks_without_a_network() -> None:
    torch.manual_seed(0)
    task = Ridge(n_train=12, n_query=5)
    params = {"theta": task.fit(torch.ones(1, 12))["theta"][0]}
    torch.testing.assert_close(CG(tolerance=1e-12)(task, params), GGN()(task, params))


def test_too_few_steps_are_told(caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    task = given(mlp(3, 4, 2), 2, 3)
    with caplog.at_level(logging.WARNING, "sciml"):
        CG(max_steps=2)(task, parameters(task))
    assert "max_steps" in caplog.text


def test_a_matrix_that_is_not_positive_is_refused() -> None:
    with pytest.raises(RunError, match="not positive"):
        CG().solve(lambda v: -v, torch.ones(2, 3, dtype=torch.float64))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(CG, tolerance=0, max_steps=0, probes=0) == {}
