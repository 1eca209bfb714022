"""A weighted sum, and a name that is no condition."""

from __future__ import annotations

import pytest
import torch

from sciml.errors import ConfigError
from sciml.pinn.weighting.fixed import Fixed

LOSSES = {"residual": torch.tensor(2.0), "initial": torch.tensor(3.0), "boundary": torch.tensor(5.0)}


def test_a_weighted_sum() -> None:
    assert Fixed(weights={"initial": 100.0, "boundary": 10.0})(LOSSES) == 2 + 300 + 50
    assert Fixed(weights={})(LOSSES) == 10


def test_a_name_that_is_no_condition() -> None:
    with pytest.raises(ConfigError, match="inital; the conditions are residual, initial, boundary"):
        Fixed(weights={"inital": 100.0}).prepare(tuple(LOSSES))
