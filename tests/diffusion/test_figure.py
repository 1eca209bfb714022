from __future__ import annotations

import pytest
import torch

from sciml.diffusion.figure import calibration_figure, posterior_figure


def test_a_field_of_two_channels_has_a_row_for_each() -> None:
    truth, mean = (torch.randn(6, 6, 2, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    figure = posterior_figure(truth=truth, mean=mean, std=mean.abs(), seen=truth, names=["a", "u"])
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_ylabel() for axes in panels[::5]] == ["a", "u"]
    assert [axes.get_title() for axes in panels[:5]] == [
        *("truth", "adjoint of y", "mean of samples", "their sd", "error")
    ]
    for channel in (0, 1):
        shown = panels[5 * channel + 2].get_images()[0]
        assert (torch.as_tensor(shown.get_array()) == mean[..., channel].T).all()
        low, high = shown.get_clim()
        assert (low, high) == (truth[..., channel].min().item(), truth[..., channel].max().item())


def test_channels_without_names_are_counted_and_one_needs_none() -> None:
    field = torch.rand(6, 6, 2)
    two = posterior_figure(truth=field, mean=field, std=field)
    assert [axes.get_ylabel() for axes in two.axes if axes.get_images()][::4] == ["channel 0", "channel 1"]
    one = posterior_figure(truth=field[..., :1], mean=field[..., :1], std=field[..., :1])
    assert [axes.get_ylabel() for axes in one.axes if axes.get_images()] == [""] * 4


def test_ranks_are_drawn_as_frequencies_whatever_the_number_of_samples() -> None:
    few, many = torch.tensor([2, 0, 1, 1]), torch.ones(513, dtype=torch.int64)
    many[:100] = 3
    bars = [[bar.get_height() for bar in calibration_figure(counts).axes[0].patches] for counts in (few, many)]
    assert bars[0] == [2.0, 0.0, 1.0, 1.0]
    assert len(bars[1]) == 20
    assert bars[1][0] == pytest.approx(3 * 513 / 713)
    assert bars[1][-1] == pytest.approx(513 / 713)
