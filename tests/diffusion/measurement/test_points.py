from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.diffusion.measurement.points import Points
from sciml.errors import ConfigError


def test_it_reads_distinct_entries_and_writes_them_back() -> None:
    points = Points(shape=(4, 3, 1), sensors=5, noise_std=0.1)
    x = torch.arange(12, dtype=torch.float64).reshape(1, 4, 3, 1)
    y = points(x)
    assert len(set(y.flatten().tolist())) == 5
    mask = points.adjoint(torch.ones(1, 5, dtype=torch.float64))
    torch.testing.assert_close(points.adjoint(y), x * mask)
    assert mask.sum() == 5


def test_the_seed_places_the_sensors() -> None:
    first, same, other = (Points(shape=(64, 1), sensors=8, noise_std=0.1, seed=s).index for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_impossible_sensors_are_refused() -> None:
    with pytest.raises(ConfigError, match="sensors is 7"):
        Points(shape=(6, 1), sensors=7, noise_std=0.1)


def test_chosen_channels_are_seen_at_points_of_the_grid() -> None:
    x = torch.arange(24, dtype=torch.float64).reshape(1, 4, 3, 2)
    places = []
    for channel in (0, 1):
        points = Points(shape=(4, 3, 2), sensors=5, noise_std=0.1, channels=[channel])
        y = points(x)
        assert set((y.flatten() % 2).tolist()) == {channel}
        places.append(y // 2)
        torch.testing.assert_close(points(points.adjoint(y)), y)
    assert torch.equal(*places)  # the same points: the seed places them
    everywhere = Points(shape=(4, 3, 2), sensors=24, noise_std=0.1, channels=[1, 0])
    assert torch.equal(everywhere(x).flatten(), x.flatten())


@pytest.mark.parametrize("channels", [[], [2], [-1], [0, 0]])
def test_channels_that_are_not_there_are_refused(channels: list[int]) -> None:
    with pytest.raises(ConfigError, match="channels 0 to 1"):
        Points(shape=(4, 2), sensors=1, noise_std=0.1, channels=channels)


def test_more_sensors_than_points_of_the_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"sensors is 5; there are 4 entries of channels \[1\]"):
        Points(shape=(4, 2), sensors=5, noise_std=0.1, channels=[1])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Points, noise_std=0.0, sensors=0) == {}
