from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from supervised_toy import toy

from sciml.influence.evaluation import truth
from sciml.influence.evaluation.truth import retrained
from sciml.influence.task.ridge import Ridge


def test_measurements_are_those_of_training_with_each_row() -> None:
    task, weights = toy(), torch.rand(5, 30)
    found = retrained(task, weights, [3, 7], batch_size=2)
    for r, repeat in enumerate((3, 7)):
        for run in range(5):
            params = {k: p[0] for k, p in task.fit(weights[run : run + 1], repeat=repeat).items()}
            torch.testing.assert_close(found[r, run], task.measure(params))


def test_what_was_trained_once_is_kept_for_the_same_task_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, calls = torch.rand(2, 30), []
    measured = truth._measured
    monkeypatch.setattr(truth, "_measured", lambda *a: (calls.append(a[2]), measured(*a))[1])
    first = retrained(toy(), weights, [0, 1], 2)
    monkeypatch.setattr(truth.cache, "folder", lambda: tmp_path)
    for _ in range(2):
        assert torch.equal(retrained(toy(), weights, [0, 1], 2), first)
    assert calls == [0, 1, 0, 1]  # without a cache, then once for each
    assert not torch.equal(retrained(toy(decay=9.0), weights, [0], 2)[0], first[0])
    assert not torch.equal(retrained(toy(), 1 - weights, [0], 2)[0], first[0])
    assert len(calls) == 6
    retrained(Ridge(n_train=30), weights, [0, 0], 2)  # says nothing about itself, so nothing is kept
    assert len(calls) == 8
    data = next(tmp_path.rglob("data"))
    assert np.load(data, allow_pickle=False).shape == (2, 8)
