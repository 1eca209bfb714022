"""Without curvature: gradient dot products, cosines, and the diagonal, against whole gradients."""

from __future__ import annotations

import pytest
import torch
from network_task import Given, block_scores, ggn, given, layers_of, mlp, parameters, pooled
from torch.nn.functional import normalize

from sciml.influence.attributor.diagonal import Diagonal
from sciml.influence.attributor.gradient_cosine import GradientCosine
from sciml.influence.attributor.identity import Identity


def tasks() -> dict[str, Given]:
    torch.manual_seed(0)
    return {"mlp": given(mlp(3, 4, 2), 2, 3), "pooled": pooled(), "many": given(mlp(6, 5, 2), 2, 40, 6, squared=True)}


@pytest.mark.parametrize("name", ["mlp", "pooled"])
@pytest.mark.parametrize("batch_size", [1024, 3])
def test_products_and_cosines_of_whole_gradients(name: str, batch_size: int) -> None:
    task = tasks()[name]
    params = parameters(task)
    query, train = task.query_gradients(params), task.gradients(params)
    torch.testing.assert_close(Identity(batch_size=batch_size)(task, params), query @ train.T)
    cosines = normalize(query, dim=1) @ normalize(train, dim=1).T
    torch.testing.assert_close(GradientCosine(batch_size=batch_size)(task, params), cosines)


def test_many_tokens_are_kept_as_whole_gradients() -> None:
    """More tokens than a gradient has numbers: the sum is kept, and the scores are the same."""
    task = tasks()["many"]
    task.y, task.y_query = (torch.randn(len(x), 40, 2, dtype=torch.float64) for x in (task.x, task.x_query))
    params = parameters(task)
    expected = task.query_gradients(params) @ task.gradients(params).T
    torch.testing.assert_close(Identity()(task, params), expected)


@pytest.mark.parametrize("name", ["mlp", "pooled"])
def test_the_diagonal_is_that_of_the_ggn(name: str) -> None:
    task = tasks()[name]
    params = parameters(task)
    dense = ggn(task, params)
    expected = block_scores(task, params, layers_of(task), lambda block: dense(block).diagonal().diag(), 0.1)
    torch.testing.assert_close(Diagonal()(task, params), expected)
