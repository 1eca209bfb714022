from __future__ import annotations

import pytest
import torch

from sciml.errors import ConfigError, RunError
from sciml.operator.base import Dataset, Split
from sciml.operator.dataset.heat import HeatDataset
from sciml.operator.predictor import Mean, MeanField, Nearest, Persistence, Reference, resampled


class Foreign(Dataset):
    """Two frames in, one out; read from somewhere, so without a solver."""

    in_channels, out_channels, grid, periodic = 4, 2, (3,), (True,)

    def splits(self) -> dict[str, Split]:
        u = torch.arange(24.0).reshape(2, 3, 4)
        return {"train": Split(u, torch.stack([u[..., :2], 3 * u[..., :2]], dim=1))}


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


def test_the_mean_field_is_a_mean_over_examples_and_states_at_each_point() -> None:
    train = Foreign().splits()["train"]
    field = MeanField()(Foreign(), train)(torch.zeros(2, 3, 4))
    torch.testing.assert_close(field, 2 * train.input[..., :2].mean(0).expand(2, -1, -1))


def test_the_nearest_neighbour_is_found_in_units_of_each_channel() -> None:
    dataset = Foreign()
    u = torch.zeros(2, 3, 4)
    u[0, :, 0], u[1, :, 3] = 1000.0, 1.0
    train = Split(
        u,
        torch.stack([torch.ones(2, 3, 2), torch.zeros(2, 3, 2)], dim=1) * torch.tensor([1.0, 2.0])[:, None, None, None],
    )
    query = u.clone()[[1]]
    query[..., 0] = 600.0  # nearer to example 0, but not once every channel has spread 1
    assert Nearest()(dataset, train)(query).unique().tolist() == [2.0]


def test_resampling_is_exact_for_linear_fields_and_closes_circles() -> None:
    x = torch.linspace(0, 1, 5)
    torch.testing.assert_close(resampled(x[None, :, None], (9,), (False,))[0, :, 0], torch.linspace(0, 1, 9))
    circle = torch.tensor([0.0, 1.0, 2.0, 1.0])[None, :, None]
    expected = [0, 0.5, 1, 1.5, 2, 1.5, 1, 0.5]
    assert resampled(circle, (8,), (True,))[0, :, 0].tolist() == expected
    both = resampled(torch.arange(4.0)[None, :, None, None].expand(1, 4, 3, 1), (7, 5), (False, True))
    torch.testing.assert_close(both[0, :, 2, 0], torch.linspace(0, 3, 7))
