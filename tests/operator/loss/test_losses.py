from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted

from sciml.operator.loss.mse import MeanSquare
from sciml.operator.loss.relative import RelativeGradient, RelativeH1, RelativeL2, gradient
from sciml.operator.loss.sobolev import Sobolev


def sine(k: int, points: int, closed: bool) -> torch.Tensor:
    x = torch.arange(points, dtype=torch.float64) / (points if closed else points - 1)
    return torch.sin(2 * math.pi * k * x) if closed else torch.cos(math.pi * k * x)


def state(u: torch.Tensor) -> torch.Tensor:
    return u[None, None, ..., None]


@pytest.mark.parametrize("closed", [True, False])
def test_the_gradient_is_of_second_order_on_the_unit_box(closed: bool) -> None:
    errors = []
    for points in (64, 128):
        u = sine(1, points, closed)
        x = torch.arange(points, dtype=torch.float64) / (points if closed else points - 1)
        slope = 2 * math.pi * torch.cos(2 * math.pi * x) if closed else -math.pi * torch.sin(math.pi * x)
        both = gradient((u[:, None] * torch.ones(points, dtype=torch.float64))[None, None, ..., None], (closed, True))
        errors.append(float((both[0, 0, :, 0, 0, 0] - slope).abs().max()))
        assert float(both[..., 1].abs().max()) < 1e-12
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)


def test_relative_losses_weigh_values_and_slopes_as_said() -> None:
    u = state(sine(1, 512, True))
    p = u + 0.1 * state(sine(3, 512, True))
    assert float(RelativeL2((True,))(p, u)) == pytest.approx(0.1)
    w = 2 * math.pi
    h1 = 0.1 * math.sqrt((1 + (3 * w) ** 2) / (1 + w**2))
    assert float(RelativeH1((True,))(p, u)) == pytest.approx(h1, rel=1e-3)
    assert float(RelativeGradient((True,), weight=0.5)(p, u)) == pytest.approx(0.1 + 0.5 * 0.3, rel=1e-3)
    assert float(Sobolev((True,), order=1.0)(p, u)) == pytest.approx(h1)
    assert float(Sobolev((True,), order=0.0)(p, u)) == pytest.approx(0.1)
    inverse = 0.1 * math.sqrt((1 + w**2) / (1 + (3 * w) ** 2))
    assert float(Sobolev((True,), order=-1.0)(p, u)) == pytest.approx(inverse)
    assert float(MeanSquare((True,))(p, u)) == pytest.approx(0.01 / 2)


def test_an_axis_with_ends_is_continued_evenly() -> None:
    u = state(sine(2, 65, False))  # half-integer waves: cos(2 pi x) is one wave, cos(6 pi x) three
    p = u + 0.1 * state(sine(6, 65, False))
    w = 2 * math.pi
    expected = 0.1 * math.sqrt((1 + (3 * w) ** 2) / (1 + w**2))
    assert float(Sobolev((False,), order=1.0)(p, u)) == pytest.approx(expected)


def test_an_example_counts_by_its_ratio_not_by_its_size() -> None:
    u = torch.cat([state(sine(1, 32, True)), 100 * state(sine(2, 32, True))])
    p = u * torch.tensor([1.2, 1.0], dtype=torch.float64)[:, None, None, None]
    for loss in (RelativeL2((True,)), RelativeH1((True,)), Sobolev((True,), order=0.5)):
        assert float(loss(p, u)) == pytest.approx(0.1)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(RelativeGradient, weight=-0.1) == {}
