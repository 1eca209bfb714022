from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.operator.rollout.autoregressive import Autoregressive


def test_one_step_is_the_network_and_more_are_its_powers() -> None:
    u0 = torch.randn(2, 5, 1, dtype=torch.float64)
    states = Autoregressive()(lambda u: 0.5 * u, u0, 3)
    torch.testing.assert_close(states, torch.stack([u0 / 2, u0 / 4, u0 / 8], dim=1))


def test_past_frames_move_up_and_the_newest_comes_last() -> None:
    u0 = torch.tensor([[[1.0, 2.0, 3.0]]])  # three frames of one channel, the oldest first
    states = Autoregressive()(lambda u: 100 * u[..., :1] + u[..., -1:], u0, 4)
    # 100 * 1 + 3, 100 * 2 + 103, 100 * 3 + 303, 100 * 103 + 603
    assert states.flatten().tolist() == [103.0, 303.0, 603.0, 10903.0]


def test_a_network_of_another_shape_gives_one_step_but_not_two() -> None:
    u0 = torch.randn(2, 5, 3)
    assert Autoregressive()(lambda u: u[..., :2], u0, 1).shape == (2, 1, 5, 2)
    with pytest.raises(RunError, match="3 channels"):
        Autoregressive()(lambda u: u[..., :2], u0, 2)
