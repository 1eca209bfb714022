from __future__ import annotations

import torch

from sciml.influence.attributor.random import Random
from sciml.influence.task.ridge import Ridge


def test_scores_come_from_the_seed_and_not_from_the_task() -> None:
    scores = []
    for seed, decay in ((0, 1.0), (0, 100.0), (1, 1.0)):
        torch.manual_seed(0)
        task = Ridge(n_train=50, n_query=40, decay=decay)
        torch.manual_seed(seed)
        scores.append(Random()(task, {"theta": task.fit(torch.ones(1, 50))["theta"][0]}))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])
    assert abs(scores[0].mean()) < 5 / 2000**0.5
    assert abs(scores[0].var() - 1) < 5 * (2 / 2000) ** 0.5
