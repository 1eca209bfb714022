"""The common colour scale, the labels, and the orientation of the axes."""

from __future__ import annotations

import torch

from sciml.figure import heatmaps, images


def test_heatmaps() -> None:
    field = torch.zeros(4, 3)
    field[3, 0] = 2.0  # last along the horizontal, first along the vertical axis
    t, x = torch.linspace(0, 1, 4), torch.linspace(0, 6, 3)
    figure = heatmaps(
        {"u": field, "reference": field - 5, "error": field.abs()},
        ("time t", t),
        ("x (m)", x),
        errors=["error"],
        marks={"error": torch.tensor([[0.5, 3.0]])},
    )
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    images = [panel.images[0] for panel in panels]
    assert [panel.get_title() for panel in panels] == ["u", "reference", "error"]
    assert all((panel.get_xlabel(), panel.get_ylabel()) == ("time t", "x (m)") for panel in panels)
    assert images[0].get_clim() == images[1].get_clim() == (-5.0, 2.0)
    assert images[2].get_clim() == (0.0, 2.0)
    assert images[0].get_array()[0, 3] == 2.0
    assert images[0].origin == "lower"
    assert images[0].get_extent() == [0.0, 1.0, 0.0, 6.0]
    assert panels[2].collections[0].get_offsets().tolist() == [[0.5, 3.0]]


def test_images_share_a_scale_or_are_symmetric_around_zero_as_asked() -> None:
    fields = {"truth": torch.tensor([[0.0, 2.0], [1.0, 1.0]]), "guess": torch.full((2, 2), 5.0)}
    figure = images(
        {**fields, "error": torch.tensor([[-3.0, 1.0], [0.0, 0.0]])}, alike=("truth", "guess"), signed=("error",)
    )
    shown = [panel.images[0] for panel in figure.axes if panel.images]
    assert [image.get_clim() for image in shown] == [(0, 2), (0, 2), (-3, 3)]
    assert shown[0].get_array()[1, 0] == 2.0  # the second index goes up
