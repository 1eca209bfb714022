from __future__ import annotations

import pytest
import torch
from supervised_toy import toy

from sciml.errors import ConfigError
from sciml.influence.evaluation.mislabel import Mislabel, auc, found


def test_counts_by_hand() -> None:
    wrong = torch.tensor([True, False, True, False, False])
    values = torch.tensor([5.0, 4, 3, 2, 1])
    assert found(values, wrong).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
    assert auc(values, wrong) == pytest.approx(5 / 6)  # of 6 pairs only (3, 4) is the wrong way round
    assert auc(-values, wrong) == pytest.approx(1 / 6)
    assert auc(torch.ones(5), wrong) == pytest.approx(0.5)


def test_the_diagonal_is_what_ranks() -> None:
    task = toy(classes=3, flipped=0.1, queries="training")
    params = {name: p[0] for name, p in task.fit(torch.ones(1, 30)).items()}
    scores = 10 * torch.rand(30, 30)
    metrics = Mislabel()(task, params, scores.fill_diagonal_(0) + task.is_flipped.double().diag()).metrics
    assert metrics["found_10"] == metrics["found_20"] == metrics["auc"] == 1
    metrics = Mislabel()(task, params, scores.fill_diagonal_(0) - task.is_flipped.double().diag()).metrics
    assert metrics["found_20"] == metrics["auc"] == 0


def test_the_floor_ranks_by_the_loss_and_the_ceiling_by_the_truth() -> None:
    task = toy(classes=3, flipped=0.1, queries="training")
    params = {name: p[0] for name, p in task.fit(torch.ones(1, 30)).items()}
    scores = torch.rand(30, 30)
    loss = Mislabel(rank_by="loss")(task, params, scores).metrics
    assert loss["auc"] == pytest.approx(auc(task.losses(params), task.is_flipped))
    assert loss["found_10"] == task.is_flipped[task.losses(params).topk(3).indices].double().mean()
    assert Mislabel(rank_by="truth")(task, params, scores).metrics == {"found_10": 1, "found_20": 1, "auc": 1}


def test_what_it_needs_is_said() -> None:
    with pytest.raises(ConfigError, match=r"influence\.task\.flipped"):
        Mislabel()(toy(classes=3), {}, torch.zeros(8, 30))
    with pytest.raises(ConfigError, match=r"influence\.task\.queries=training"):
        Mislabel()(toy(classes=3, flipped=0.1), {}, torch.zeros(8, 30))
