from __future__ import annotations

import math

import pytest
import torch

from sciml.operator.base import Dataset, Split
from sciml.operator.evaluation import Scores, evaluate, metrics
from sciml.operator.rollout.autoregressive import Autoregressive


class Circle(Dataset):
    in_channels = out_channels = 1
    grid, periodic, dt = (32,), (True,), 0.5

    def splits(self) -> dict[str, Split]:
        raise NotImplementedError


def scores(prediction: torch.Tensor, target: torch.Tensor) -> Scores:
    found = Scores(Circle())
    for p, u in zip(prediction.split(2), target.split(2), strict=True):
        found.add(p, u)
    return found


def test_errors_are_means_over_examples_of_the_ratio_state_by_state() -> None:
    target = torch.ones(3, 3, 4, 1)
    target[1] *= 100
    prediction = target.clone()
    prediction[0, 1] *= 1.5  # a large relative error of a small example
    prediction[1, 2] *= 1.6
    found = scores(prediction, target)
    torch.testing.assert_close(found.relative.mean(0), torch.tensor([0.0, 0.5 / 3, 0.2]))
    named = metrics({"test": found, "test_fine": scores(prediction[:, 1:2], target[:, 1:2])})
    for name, value in {"rel_l2": 0, "rel_l2_rollout": 0.3667 / 3, "rel_l2_last": 0.2, "rel_l2_fine": 0.5 / 3}.items():
        assert float(named[name]) == pytest.approx(value, abs=1e-4)
    assert "rel_l2_last_fine" not in named
    assert float(named["rmse"]) == pytest.approx(math.sqrt((4 * 0.25 + 4 * 3600) / 36))
    assert "vrmse" not in named  # constant fields have no spread


def waves(*amplitudes: float, points: int = 32) -> torch.Tensor:
    x = torch.arange(points) * 2 * math.pi / points
    return sum(a * torch.sin(k * x) for a, k in zip(amplitudes, (1, 8, 15), strict=True))[None, None, :, None]  # type: ignore[union-attr]


def test_the_bands_tell_scales_apart() -> None:
    found = metrics({"test": scores(waves(1.0, 0.5, 0.1), waves(1.2, 0.4, 0.2))})
    assert float(found["error_low"]) == pytest.approx(0.2 / 1.2, rel=1e-4)
    assert float(found["error_mid"]) == pytest.approx(0.1 / 0.4, rel=1e-4)
    assert float(found["error_high"]) == pytest.approx(0.1 / 0.2, rel=1e-4)
    squares = [a * a for a in (1.2, 0.4, 0.2)]
    assert float(found["vrmse"]) == pytest.approx(math.sqrt((0.04 + 0.01 + 0.01) / sum(squares)), rel=1e-4)


def test_an_empty_band_has_no_error() -> None:
    found = metrics({"test": scores(waves(1.0, 0.0, 0.0), waves(1.2, 0.0, 0.0))})
    assert "error_low" in found
    assert "error_high" not in found


def test_the_correlation_time_is_that_of_the_last_state_before_the_mean_falls() -> None:
    angle = torch.tensor([0.0, 0.3, 0.6, 0.7, 0.2])  # the correlation of two sines is the cosine of their shift
    x = torch.arange(32) * 2 * math.pi / 32
    target = torch.sin(x).expand(2, 5, 32)[..., None]
    prediction = torch.sin(x + angle[:, None]).expand(2, 5, 32)[..., None]
    assert math.cos(0.7) < 0.8 < math.cos(0.6)
    assert float(metrics({"test": scores(prediction, target)})["correlation_time"]) == 3 * 0.5
    assert float(metrics({"test": scores(target, target)})["correlation_time"]) == 5 * 0.5


def test_prediction_does_not_depend_on_the_batch_size() -> None:
    split = Split(torch.randn(5, 32, 1), torch.randn(5, 2, 32, 1))
    whole, parts = (
        evaluate(lambda: lambda u: u / 2, Autoregressive(), Circle(), split, size, torch.device("cpu"))
        for size in (5, 2)
    )
    torch.testing.assert_close(whole.relative, parts.relative)
    expected = (split.input / 4 - split.target[:, 1]).flatten(1).norm(dim=1) / split.target[:, 1].flatten(1).norm(dim=1)
    torch.testing.assert_close(whole.relative[:, 1], expected)
