"""Scores against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted

from sciml.diffusion.score.channels import Channels
from sciml.diffusion.score.psnr import PSNR
from sciml.errors import ConfigError

TRUTH = torch.tensor([[[3.0, 1.0], [4.0, -1.0], [0.0, -1.0], [0.0, 1.0]]], dtype=torch.float64)


def test_channels_are_judged_apart() -> None:
    estimate = TRUTH + torch.tensor([[0.0, 0.0], [0.0, 0.5], [1.0, 3.0], [0.0, 0.0]], dtype=torch.float64)
    found = Channels(names=["u", "a"], middle={"a": 0.0})(estimate, TRUTH)
    assert set(found) == {"rel_l2_u", "rel_l2_a", "error_rate_a"}
    assert found["rel_l2_u"].tolist() == [pytest.approx(1 / 5)]
    assert found["rel_l2_a"].tolist() == [pytest.approx(math.sqrt(9.25) / 2)]
    assert found["error_rate_a"].tolist() == [0.25]  # -0.5 is on the right side, 2 is not


def test_names_must_fit() -> None:
    with pytest.raises(ConfigError, match="channels are u, a"):
        Channels(names=["u", "a"], middle={"b": 0.0})
    with pytest.raises(ConfigError, match="1 names for 2 channels"):
        Channels(names=["u"])(TRUTH, TRUTH)


def test_psnr_has_the_range_of_the_config_not_of_the_images() -> None:
    found = PSNR(data_range=2.0)(TRUTH + 0.02, TRUTH)
    assert found["psnr"].tolist() == [pytest.approx(40.0)]


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(PSNR, data_range=0.0) == {}
