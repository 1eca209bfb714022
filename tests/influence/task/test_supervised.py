from __future__ import annotations

import pytest
import torch
from refusals import accepted
from supervised_toy import data, toy

from sciml.errors import ConfigError
from sciml.influence.task.supervised import Supervised


def ones(n: int = 30) -> torch.Tensor:
    return torch.ones(1, n)


def test_training_examples_alone_set_the_scale_and_no_query_is_one_of_them() -> None:
    task = toy()
    torch.testing.assert_close(task.x.mean(0), torch.zeros(3))
    torch.testing.assert_close(task.x.square().mean(0), torch.ones(3))
    torch.testing.assert_close(task.y.square().mean(), torch.tensor(1.0))
    raw = toy(standardise=False)
    rows = {float(value) for value in data(40)[0][:, 0]}
    train_set, query_set = ({float(value) for value in part[:, 0]} for part in (raw.x, raw.x_query))
    assert len(train_set | query_set) == 38
    assert train_set | query_set < rows
    mean, std = raw.x.mean(0), (raw.x - raw.x.mean(0)).square().mean(0).sqrt()
    torch.testing.assert_close(task.x_query, (raw.x_query - mean) / std)


def test_the_seed_chooses_the_split_and_the_initialisation_and_later_draws_change_nothing() -> None:
    first, again, other = toy(), toy(), toy(seed=1)
    torch.manual_seed(77)
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x, other.x)
    for name, p in first.fit(ones()).items():
        assert torch.equal(p, again.fit(ones())[name])
        assert not torch.equal(p, first.fit(ones(), repeat=1)[name])


def test_an_identity_tells_tasks_apart_by_all_that_matters() -> None:
    from functools import partial

    from sciml.influence.retraining import Recipe
    from sciml.network.mlp import MLP

    changes = [
        {},
        {"seed": 1},
        {"decay": 0.4},
        {"recipe": Recipe(epochs=4, batch_size=7, lr=0.1, momentum=0.8)},
        {"network": partial(MLP, width=6, depth=2, activation="silu")},
        {"network": partial(MLP, width=7, depth=2, activation="tanh")},
        {"n_train": 29},
        {"n_query": 7},
        {"standardise": False},
        {"classes": 3},
        {"classes": 3, "flipped": 0.1},
    ]
    seen = [str(toy(**change).identity()) for change in changes]
    assert len(set(seen)) == len(changes)
    assert str(toy().identity()) == seen[0]


def test_flipped_classes_are_as_many_as_asked_and_all_wrong() -> None:
    clean, dirty = toy(classes=3), toy(classes=3, flipped=0.2)
    assert int(dirty.is_flipped.sum()) == 6
    assert not clean.is_flipped.any()
    assert torch.equal(clean.y != dirty.y, dirty.is_flipped)
    assert torch.equal(clean.y_query, dirty.y_query)
    assert set(dirty.y.tolist()) <= {0, 1, 2}
    with pytest.raises(ConfigError, match=r"influence.task.flipped is 0.2"):
        toy(flipped=0.2)


def test_the_training_examples_can_be_the_queries() -> None:
    task = toy(queries="training")
    params = {name: p[0] for name, p in task.fit(ones()).items()}
    assert task.n_query == 30
    assert torch.equal(task.measure(params), task.losses(params))


def test_a_data_set_that_is_too_small_is_refused() -> None:
    with pytest.raises(ConfigError, match="more than the 40 examples"):
        toy(n_train=33)


def test_the_trajectory_ends_where_the_training_does_after_the_time_that_it_took() -> None:
    task = toy()
    path = task.trajectory(4)
    for name, p in task.fit(ones()).items():
        assert torch.equal(path[-1][1][name], p[0])
        assert not torch.equal(path[0][1][name], p[0])
    # Twelve steps of rates that fall like a cosine: 0.1 / 2 * sum (1 + cos) = 0.1 / 2 * 13; divided by 1 - mu and n.
    assert sum(time for time, _ in path) == pytest.approx(0.1 / 2 * 13 / 0.2 / 30)
    assert path[0][0] > path[-1][0]
    assert len(task.trajectory(13)) == 12  # as many as there are steps


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Supervised, n_train=0, n_query=0, flipped=1.0) == {}
