from __future__ import annotations

import pytest
import torch
from refusals import accepted
from supervised_toy import toy
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.attributor.tracin import TracIn
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.retraining import Recipe
from sciml.influence.task.ridge import Ridge


class Product(Attributor):
    """Of the gradients."""

    def __call__(self, task: Task, params: Params) -> Tensor:
        return task.query_gradients(params) @ task.gradients(params).T


def test_with_tiny_steps_and_all_checkpoints_it_is_the_fall_of_the_loss_that_the_examples_brought() -> None:
    """Plain gradient descent on all examples: the loss of a query falls by the sum of the scores."""
    task = toy(decay=0.0, recipe=Recipe(epochs=40, batch_size=30, lr=1e-3, momentum=0.0))
    start = task._start(0)
    end = {name: p[0] for name, p in task.fit(torch.ones(1, 30)).items()}
    scores = TracIn(inner=Product(), checkpoints=40)(task, end)
    torch.testing.assert_close(scores.sum(1), task.measure(start) - task.measure(end), rtol=0.01, atol=1e-5)


def test_it_sums_over_checkpoints_by_the_time_of_each() -> None:
    task = toy()
    expected = torch.zeros(8, 30)
    for time, params in task.trajectory(3):
        for q in range(8):
            for i in (0, 7):
                left, right = (
                    torch.func.grad(lambda p, f=f, k=k: f(p)[k])(params)
                    for f, k in ((task.measure, q), (task.losses, i))
                )
                expected[q, i] += time * sum((left[name] * right[name]).sum() for name in params)
    found = TracIn(inner=Product(), checkpoints=3)(task, {})
    torch.testing.assert_close(found[:, [0, 7]], expected[:, [0, 7]])


def test_a_task_without_a_training_to_trace_is_refused() -> None:
    with pytest.raises(RunError, match="tracin needs a TrainedTask, which task Ridge is not"):
        TracIn(inner=Product())(Ridge(), {})


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(TracIn, checkpoints=0) == {}
