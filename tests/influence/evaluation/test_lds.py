from __future__ import annotations

import pytest
import torch
from refusals import accepted
from supervised_toy import toy
from torch import Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.base import Params, Task
from sciml.influence.correlation import spearman
from sciml.influence.evaluation.base import FRESH
from sciml.influence.evaluation.lds import LDS, interval
from sciml.influence.evaluation.truth import subsets


class Additive(Task):
    """What is measured falls by a known amount for each example that is there; repeats add noise of their own."""

    n_train, n_query, decay = 20, 3, 0.0

    def __init__(self, noise: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.worth, self.noise = torch.randn(3, 20, dtype=torch.float64), noise
        self.seen: list[int] = []

    def losses(self, params: Params) -> Tensor:
        return params["theta"]

    def measure(self, params: Params) -> Tensor:
        return -self.worth @ params["theta"] + params["noise"]

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        self.seen.append(repeat)
        noise = torch.randn(len(weights), 3, generator=stream(f"{repeat}", 3), dtype=torch.float64)
        return {"theta": weights.double(), "noise": self.noise * noise}


def test_the_true_worth_scores_one_and_its_opposite_minus_one() -> None:
    task = Additive(noise=0.0)
    for scores, expected in ((task.worth, 1.0), (-3 * task.worth, -1.0)):
        found = LDS(masks=30, repeats=2, batch_size=13)(task, {}, scores)
        assert found.metrics == pytest.approx(
            {"lds": expected, "lds_low": expected, "lds_high": expected, "reliability": 1, "bound": 1}
        )
        assert found.retrainings == 60
    assert min(task.seen) == FRESH


def test_reliability_and_its_bound_follow_the_noise() -> None:
    """Each value is signal + noise / sqrt(R): reliability s / (s + n / R); the truth itself scores its root."""
    task = Additive(noise=3.0)
    signal = float(task.worth.var(1).mean()) * 20 / 4 * 20 / 19  # of a sum over a random half of 20 examples
    expected = signal / (signal + 9.0 / 4)
    found = LDS(masks=1000, repeats=4, resamples=20, batch_size=1000)(task, {}, task.worth).metrics
    assert found["reliability"] == pytest.approx(expected, abs=0.07)
    assert found["lds"] == pytest.approx(expected**0.5, abs=0.05)
    assert found["bound"] == pytest.approx(found["reliability"] ** 0.5)
    assert found["lds_low"] < found["lds"] < found["lds_high"]
    ceiling = LDS(masks=1000, repeats=4, resamples=1, batch_size=1000, predict="retraining")(task, {}, task.worth)
    assert ceiling.metrics["lds"] == found["bound"]


def test_it_equals_the_definition_written_out_over_what_is_kept() -> None:
    task, evaluation = toy(), LDS(masks=5, alpha=0.3, repeats=2, resamples=2)
    scores = torch.randn(8, 30)
    masks = subsets(5, 30, 9, stream("masks"))
    assert masks.sum(1).tolist() == [9.0] * 5
    actual = []
    for mask in masks:
        runs = [task.fit(mask[None], repeat=FRESH + r) for r in range(2)]
        actual.append(torch.stack([task.measure({k: p[0] for k, p in run.items()}) for run in runs]).mean(0))
    total = torch.zeros(())
    for q in range(8):
        predicted = torch.stack([-(mask * scores[q]).sum() for mask in masks])
        total = total + spearman(predicted, torch.stack([measured[q] for measured in actual])) / 8
    assert evaluation(task, {}, scores).metrics["lds"] == pytest.approx(float(total))


def test_the_subsets_come_from_the_seed_alone_and_all_examples_are_in_them_as_often() -> None:
    first = subsets(2000, 10, 4, stream("masks", 0))
    assert torch.equal(first, subsets(2000, 10, 4, stream("masks", 0)))
    assert not torch.equal(first, subsets(2000, 10, 4, stream("masks", 1)))
    assert (first.mean(0) - 0.4).abs().max() < 5 * (0.24 / 2000) ** 0.5


def test_the_interval_covers_as_often_as_it_says() -> None:
    """60 worlds of 10 queries and 40 subsets, correlation 0.6 between independent pairs: about 95 % cover."""
    generator, hits = torch.Generator().manual_seed(0), 0
    rho = 6 / torch.pi * torch.arcsin(torch.tensor(0.3))  # Spearman's of a normal law with Pearson's 0.6
    for _ in range(60):
        x, y = torch.randn(2, 10, 40, generator=generator)
        low, high = interval(x, 0.6 * x + 0.8 * y, 40, generator)
        hits += low <= rho <= high
    assert hits >= 50


def test_an_odd_number_of_repeats_has_no_halves() -> None:
    with pytest.raises(ConfigError, match="repeats is 3"):
        LDS(repeats=3)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(LDS, repeats=0, alpha=1.0) == {}
