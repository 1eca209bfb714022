from __future__ import annotations

import pytest
import torch

from sciml.errors import ConfigError, RunError
from sciml.operator.base import Dataset, Fields
from sciml.operator.dataset.heat import HeatDataset
from sciml.operator.predictor import Mean, Persistence, Reference


class Foreign(Dataset):
    """Two frames in, one out; read from somewhere, so without a solver."""

    in_channels, out_channels, grid = 4, 2, (3,)

    def splits(self) -> dict[str, Fields]:
        u = torch.arange(24.0).reshape(2, 3, 4)
        return {"train": Fields(u, torch.stack([u[..., :2], 3 * u[..., :2]], dim=1))}


def test_the_mean_is_over_examples_steps_and_points_of_a_channel() -> None:
    train = Foreign().splits()["train"]
    state = Mean()(Foreign(), train)(torch.zeros(5, 3, 4))
    assert state.shape == (5, 3, 2)
    assert state[0, 0].tolist() == [20.0, 22.0]  # twice the means 10 and 11 of the first two channels
    assert torch.equal(state, state[:1, :1].expand_as(state))


def test_persistence_repeats_the_newest_frame() -> None:
    train = Foreign().splits()["train"]
    assert torch.equal(Persistence()(Foreign(), train)(train.input), train.input[..., 2:])


def test_persistence_needs_whole_states_in_the_input() -> None:
    dataset = Foreign()
    dataset.in_channels = 3
    with pytest.raises(ConfigError, match="3 input and 2 output"):
        Persistence()(dataset, Foreign().splits()["train"])


def test_the_reference_is_the_datasets_solver() -> None:
    dataset = HeatDataset(n_train=2, n_val=2, n_test=2)
    splits = dataset.splits()
    found = Reference()(dataset, splits["train"])(splits["test"].input)
    torch.testing.assert_close(found, splits["test"].target[:, 0])
    with pytest.raises(RunError, match="Foreign"):
        Reference()(Foreign(), splits["train"])(splits["test"].input)
