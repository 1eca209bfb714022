from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted
from supervised_toy import toy

from sciml.data.batches import Batches
from sciml.data.stream import stream
from sciml.errors import Diverged
from sciml.influence.retraining import Recipe, train


def weights(runs: int, n: int = 30) -> torch.Tensor:
    return torch.rand(runs, n, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


@pytest.mark.parametrize("classes", [0, 3])
def test_each_run_is_plain_sgd_on_the_weighted_objective(classes: int) -> None:
    """Against torch's optimiser and scheduler, one network after the other, the loss written out."""
    task = toy(classes=classes)
    found, w = task.fit(weights(3), repeat=2), weights(3)
    steps = 3 * (30 // 7)
    for run in range(3):
        network = task._network(2)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.8)
        cosine = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: (1 + math.cos(math.pi * t / steps)) / 2)
        batches = Batches(30, 7, stream("batches 2", 0))
        mean = w[run].mean()
        for _ in range(steps):
            batch = batches.next()
            optimizer.zero_grad()
            losses = task.likelihood.loss(network(task.x[batch]), task.y[batch])
            penalty = sum(p.square().sum() for p in network.parameters())
            (((w[run, batch] * losses).sum() / 7 + task.decay / 2 * penalty / 30) / mean).backward()
            optimizer.step()
            cosine.step()
        for name, p in network.named_parameters():
            torch.testing.assert_close(found[name][run], p.detach(), rtol=1e-10, atol=1e-12)


def test_many_at_once_are_the_same_as_one_by_one() -> None:
    task = toy()
    together, w = task.fit(weights(5)), weights(5)
    for run in range(5):
        alone = task.fit(w[run : run + 1])
        for name, p in alone.items():
            torch.testing.assert_close(together[name][run], p[0], rtol=1e-10, atol=1e-12)


def test_the_scale_of_the_weights_scales_the_regulariser_only() -> None:
    plain, scaled = toy(decay=0.0), toy(decay=0.0)
    left, right = plain.fit(weights(1)), scaled.fit(5 * weights(1))
    for name, p in left.items():
        torch.testing.assert_close(right[name], p)


def test_a_removed_example_leaves_no_trace() -> None:
    task = toy()
    w = weights(1)
    w[0, 4] = 0
    before = task.fit(w)
    task.y[4] += 100.0
    for name, p in task.fit(w).items():
        assert torch.equal(p, before[name])


def test_training_that_diverges_is_refused_and_so_are_impossible_weights() -> None:
    task = toy(recipe=Recipe(epochs=60, batch_size=7, lr=1e6))
    with pytest.raises(Diverged, match="training loss"):
        task.fit(torch.ones(1, 30))
    for bad in (torch.zeros(1, 30), -torch.ones(1, 30)):
        with pytest.raises(ValueError, match="weights must not be negative"):
            next(train(task, task._start(0), bad, task.recipe, torch.Generator()))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Recipe, epochs=0, batch_size=0, lr=0.0, momentum=1.0) == {}
