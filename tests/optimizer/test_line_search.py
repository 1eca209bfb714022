"""Line searches: the conditions hold where they say so."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from sciml.optimizer.line_search import C1, C2, Trial, backtrack, best_of_halved, strong_wolfe

NOTHING = torch.zeros(())
# Functions with phi'(0) < 0, their derivatives, and how a careless search fails on them.
FUNCTIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "far away": (lambda t: (t - 1e4) ** 2, lambda t: 2 * (t - 1e4)),
    "very near": (lambda t: (t - 1e-7) ** 2, lambda t: 2 * (t - 1e-7)),
    "many minima": (lambda t: 0.05 * t * t - math.sin(3 * t), lambda t: 0.1 * t - 3 * math.cos(3 * t)),
    "flat tail": (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),
    "kink": (
        lambda t: -t + 0.06 * max((t - 1) / 0.01, 0.0) + 0.06 * math.log1p(math.exp(-abs(t - 1) / 0.01)),
        lambda t: -1 + 6 / (1 + math.exp(min(max((1 - t) / 0.01, -700), 700))),
    ),
    "wall": (
        lambda t: (t - 0.5) ** 2 if t < 0.7 else math.inf,
        lambda t: 2 * (t - 0.5) if t < 0.7 else math.nan,
    ),
}


@pytest.mark.parametrize("step", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_strong_wolfe_conditions_hold(name: str, step: float) -> None:
    value, slope = FUNCTIONS[name]
    calls = []

    def phi(t: float) -> Trial:
        calls.append(t)
        return Trial(t, value(t), slope(t), NOTHING, NOTHING)

    start = Trial(0.0, value(0), slope(0), NOTHING, NOTHING)
    found = strong_wolfe(phi, start, step, max_evaluations=40, shortest=1e-16)
    assert found is not None
    assert value(found.t) <= value(0) + C1 * found.t * slope(0)
    assert abs(slope(found.t)) <= C2 * abs(slope(0))
    assert len(calls) <= 40


def test_evaluations_are_limited_and_the_best_of_them_is_kept() -> None:
    value, slope = FUNCTIONS["far away"]
    calls = []

    def phi(t: float) -> Trial:
        calls.append(t)
        return Trial(t, value(t), slope(t), NOTHING, NOTHING)

    start = Trial(0.0, value(0), slope(0), NOTHING, NOTHING)
    found = strong_wolfe(phi, start, 1e-3, max_evaluations=3, shortest=0.0)
    assert len(calls) == 3
    assert found is not None
    assert found.t == max(calls)


def test_nothing_is_found_where_the_function_only_rises() -> None:
    start = Trial(0.0, 0.0, -1.0, NOTHING, NOTHING)  # a slope that is wrong
    rising = strong_wolfe(lambda t: Trial(t, t, 1.0, NOTHING, NOTHING), start, 1.0, max_evaluations=30, shortest=1e-9)
    assert rising is None


def test_steps_are_halved_until_the_bound_holds() -> None:
    assert backtrack(lambda t: t, lambda t: 0.3, 1.0, trials=5) == 0.25
    assert backtrack(lambda t: t, lambda t: -1.0, 1.0, trials=5) == 0.0


def test_the_best_of_the_halved_steps_is_taken() -> None:
    seen = []

    def value(t: float) -> float:
        seen.append(t)
        return (t - 0.2) ** 2

    assert best_of_halved(value, 0.04, 1.0, trials=30) == (0.25, pytest.approx(0.0025))
    assert seen == [1.0, 0.5, 0.25, 0.125]  # and no further
    assert best_of_halved(lambda t: t, 0.0, 1.0, trials=3) == (0.0, 0.0)
