from __future__ import annotations

import math

import pytest
import torch

from sciml.data.stream import stream
from sciml.diffusion.calibration import (
    coverage,
    crps,
    intervals,
    mean_square_error,
    ranks,
    sliced_wasserstein,
    spread_skill,
    variance_ratio,
)

G = torch.Generator().manual_seed(0)
P, S, D = 40, 39, 50
SCALE = torch.linspace(0.1, 3.0, D, dtype=torch.float64)
MEAN = torch.randn(P, D, dtype=torch.float64, generator=G)
SAMPLES = MEAN[:, None] + SCALE * torch.randn(P, S, D, dtype=torch.float64, generator=G)
TRUTH = MEAN + SCALE * torch.randn(P, D, dtype=torch.float64, generator=G)


def test_exact_samples_have_the_documented_values() -> None:
    assert mean_square_error(SAMPLES, MEAN, SCALE**2).mean().item() == pytest.approx(1 / S, rel=0.05)
    assert variance_ratio(SAMPLES, SCALE**2).mean().item() == pytest.approx(1, rel=0.05)


def test_a_known_bias_and_a_known_collapse_are_measured() -> None:
    biased = SAMPLES + 2 * SCALE
    assert mean_square_error(biased, MEAN, SCALE**2).mean().item() == pytest.approx(4 + 1 / S, rel=0.05)
    collapsed = MEAN[:, None] + 0.5 * (SAMPLES - MEAN[:, None])
    assert variance_ratio(collapsed, SCALE**2).mean().item() == pytest.approx(0.25, rel=0.05)
    # Half the spread: the 90 % interval reaches 0.822 sd, which holds 58.9 % of a normal distribution.
    assert coverage(collapsed, TRUTH, 0.9).mean().item() == pytest.approx(0.589, abs=0.05)


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize("samples", [19, 39])
def test_coverage_of_exact_samples_is_the_level_even_for_few_samples(level: float, samples: int) -> None:
    # 2000 entries: a standard error below 0.012; the usual quantile would miss 0.9 by 0.05 for 19 samples
    found = coverage(SAMPLES[:, :samples], TRUTH, level).mean().item()
    assert found == pytest.approx(level, abs=0.035)


def test_quantiles_are_order_statistics() -> None:
    samples = torch.arange(1.0, 20.0).flip(0).reshape(1, 19, 1)  # (S+1)q of 0.05 and 0.95: the 1st and the 19th
    truth = torch.tensor([[0.99], [1.0], [19.0], [19.01]])
    inside = torch.cat([coverage(samples, t[None], 0.9) for t in truth])
    assert inside.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_ranks_count_the_samples_below_the_truth() -> None:
    samples = torch.tensor([3.0, 1.0, 2.0]).reshape(1, 3, 1)
    truths = torch.tensor([0.5, 1.5, 1.7, 2.5, 9.0, 2.0])
    # 2.0 is above one sample and equals another: half of one, rounded down, is none.
    counts = torch.stack([ranks(samples, t.reshape(1, 1)) for t in truths]).sum(0)
    assert counts.tolist() == [1, 3, 1, 1]
    level, inside = intervals(counts)
    assert level.tolist() == pytest.approx([0.5, 1.0])
    assert inside.tolist() == pytest.approx([4 / 6, 1.0])


def test_an_entry_that_all_samples_share_with_the_truth_has_no_rank() -> None:
    assert ranks(torch.ones(2, 4, 3), torch.ones(2, 3)).tolist() == [0] * 5


def test_ranks_of_exact_samples_are_uniform_and_those_of_narrow_ones_lie_outside() -> None:
    exact = ranks(SAMPLES, TRUTH).double()
    assert exact.sum() == P * D
    # 50 expected in each of 40 bins, a chi square of 39 degrees of freedom.
    assert float(((exact - P * D / (S + 1)).square() / (P * D / (S + 1))).sum()) < 80
    level, inside = intervals(exact)
    assert float((inside - level).abs().max()) < 0.04
    narrow = ranks(MEAN[:, None] + 0.5 * (SAMPLES - MEAN[:, None]), TRUTH)
    assert int(narrow[0] + narrow[-1]) > 5 * int(exact[0] + exact[-1])


def test_too_few_samples_for_an_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 19"):
        coverage(SAMPLES[:, :18], TRUTH, 0.9)


def test_the_fair_score_is_its_double_sum_and_does_not_depend_on_the_number_of_samples() -> None:
    x = torch.randn(2, 7, 3, generator=stream("x", 0), dtype=torch.float64)
    truth = torch.zeros(2, 3, dtype=torch.float64)
    pairs = (x[:, :, None] - x[:, None]).abs().sum((1, 2)) / (2 * 7 * 6)
    torch.testing.assert_close(crps(x, truth), (x.abs().mean(1) - pairs).mean(1))
    many = torch.randn(1, 2, 200_000, generator=stream("y", 0), dtype=torch.float64)
    # For a standard normal forecast of 0: (sqrt 2 - 1) / sqrt pi, already with two samples.
    assert float(crps(many, torch.zeros(1, 200_000, dtype=torch.float64))) == pytest.approx(0.2337, abs=5e-3)


def test_spread_equals_skill_for_samples_of_the_truths_own_law() -> None:
    draws = torch.randn(4000, 11, 1, generator=stream("x", 0), dtype=torch.float64)
    spread, skill = spread_skill(draws[:, :10], draws[:, 10]).mean(0)
    assert float(spread / skill) == pytest.approx(1, abs=0.08)
    spread, skill = spread_skill(0.5 * draws[:, :10], draws[:, 10]).mean(0)
    assert float((spread / skill).sqrt()) == pytest.approx(0.5, abs=0.05)


def test_the_sliced_distance_of_shifted_points_is_the_shift_seen_along_each_direction() -> None:
    x = torch.randn(2, 50, 3, generator=stream("x", 0), dtype=torch.float64)
    directions = torch.eye(3, dtype=torch.float64)
    shift = torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64)
    shuffled = x[:, torch.randperm(50, generator=stream("order", 0))]
    torch.testing.assert_close(sliced_wasserstein(x + shift, shuffled, directions), torch.full((2,), 3**0.5).double())


def test_entries_that_do_not_vary_are_left_out() -> None:
    variance = (SCALE**2).clone()
    variance[:5] = 0
    for metric in (lambda v: mean_square_error(SAMPLES, MEAN, v), lambda v: variance_ratio(SAMPLES, v)):
        kept = metric(torch.where(variance > 0, variance, math.inf)) * len(variance) / (len(variance) - 5)
        torch.testing.assert_close(metric(variance), kept)
