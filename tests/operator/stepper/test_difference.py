from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.errors import ConfigError
from sciml.operator.base import Dataset, Split
from sciml.operator.stepper.difference import Difference


class Two(Dataset):
    """Two frames of two channels in."""

    in_channels, out_channels, grid, periodic = 4, 2, (5,), (True,)

    def splits(self) -> dict[str, Split]:
        u = torch.randn(8, 5, 4, generator=torch.Generator().manual_seed(0))
        return {"train": Split(u, torch.stack([u[..., 2:] + torch.tensor([0.1, 3.0]) * u[..., :2], u[..., :2]], dim=1))}


class First(nn.Module):
    """The oldest frame."""

    def forward(self, u: Tensor) -> Tensor:
        return u[..., :2]


def test_the_network_gives_normalised_changes_of_the_newest_frame() -> None:
    data = Two()
    train = data.splits()["train"]
    stepper = Difference(lambda n, m: First(), data, Normalizer)
    stepper.fit(train)
    u, target = train.whole()
    change = target[:, 0] - u[..., 2:]  # to the first state that follows, not to later ones
    mean, std = change.flatten(0, 1).mean(0), change.flatten(0, 1).std(0, correction=0)
    expected = u[..., 2:] + mean + std * stepper.input.encode(u)[..., :2]
    torch.testing.assert_close(stepper.start()(u), expected)
    # These changes are the oldest frame times a number, up to their mean.
    torch.testing.assert_close(stepper.start()(u), target[:, 0])


def test_inputs_that_hold_no_state_are_refused() -> None:
    data = Two()
    data.in_channels = 3
    with pytest.raises(ConfigError, match="3 input and 2 output channels"):
        Difference(lambda n, m: First(), data, Normalizer)
