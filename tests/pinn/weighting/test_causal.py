"""Causal weights against the sums in plain numbers, without ε, and their schedule."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.errors import ConfigError
from sciml.pinn.weighting.causal import Causal


def case(n: int, components: int = 1) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(n)
    shapes = {"residual": (n, components), "initial": (5, 1)}
    residuals = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for name, shape in shapes.items()
    }
    points = {name: torch.rand(len(r), 2, generator=generator, dtype=torch.float64) for name, r in residuals.items()}
    return residuals, points


def loss(rule: Causal, residuals: dict[str, Tensor], points: dict[str, Tensor]) -> Tensor:
    return rule.scale(residuals, points)["residual"].square().mean()


@pytest.mark.parametrize("components", [1, 3])
def test_equals_the_sums(components: int) -> None:
    residuals, points = case(40, components)
    epsilon, slabs = 0.7, 8
    rule = Causal(weights={}, epsilon=[epsilon], slabs=slabs)
    order = sorted(range(40), key=lambda i: float(points["residual"][i, 0]))
    squares = residuals["residual"].detach().square().mean(dim=1).tolist()
    means = [sum(squares[i] for i in order[5 * k : 5 * k + 5]) / 5 for k in range(slabs)]
    weights = [math.exp(-epsilon * sum(means[:k])) for k in range(slabs)]
    assert weights[-1] < 0.1
    found = loss(rule, residuals, points)
    assert math.isclose(float(found.detach()), sum(w * m for w, m in zip(weights, means, strict=True)) / slabs)
    assert math.isclose(float(rule.lowest), weights[-1])
    (slope,) = torch.autograd.grad(found, residuals["residual"])
    # The weights have no gradient of their own: 2 w r / n.
    late = order[-1]
    expected = 2 * weights[-1] * residuals["residual"].detach()[late] / (40 * components)
    torch.testing.assert_close(slope[late], expected)
    assert torch.equal(rule.scale(residuals, points)["initial"], residuals["initial"])


@pytest.mark.parametrize("n", [40, 7])
def test_without_epsilon_it_is_the_mean(n: int) -> None:
    residuals, points = case(n)
    found = loss(Causal(weights={}, epsilon=[0.0], slabs=32), residuals, points)
    torch.testing.assert_close(found, residuals["residual"].square().mean())


def test_slabs_that_do_not_divide_the_points() -> None:
    residuals, points = case(10)
    rule = Causal(weights={}, epsilon=[2.0], slabs=4)
    factors = rule.scale(residuals, points)["residual"] / residuals["residual"]
    in_time = factors[points["residual"][:, 0].argsort(), 0]
    sizes = torch.unique_consecutive(in_time.detach().round(decimals=9), return_counts=True)[1]
    assert sizes.tolist() == [3, 2, 3, 2]
    assert in_time[0] == 1


def test_the_schedule_goes_on_when_all_times_are_met() -> None:
    residuals, points = case(40)
    rule, seen = Causal(weights={}, epsilon=[0.1, 1.0, 10.0], slabs=4, delta=0.9), []
    small = {name: r * 0.1 for name, r in residuals.items()}
    for r in (residuals, residuals, small, small, small, small):
        rule.scale(r, points)
        rule.adapt(dict, [])
        seen.append(int(rule.stage))
    lowest = {scale: math.exp(-float(rule.lowest.log().neg()) * scale / 10) for scale in (0.1, 1.0)}
    assert lowest[0.1] > 0.9
    assert lowest[1.0] > 0.9
    assert seen == [0, 0, 1, 2, 2, 2], "not before, and not past the last"


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match=r"weighting.weights names inital; the conditions are residual, initial"):
        Causal(weights={"inital": 100.0}).prepare(("residual", "initial"))
    with pytest.raises(ConfigError, match=r"weighting.epsilon is empty"):
        Causal(weights={}, epsilon=[])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Causal, epsilon=[-0.1], slabs=0, every=0) == {}
