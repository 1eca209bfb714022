"""Fields in rows and columns, as images or as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = dict[str, dict[str, Tensor]]


def gallery(rows: Rows, names: Sequence[str]) -> Figure:
    """A panel for each field and channel; images for fields of two axes, else lines.

    Args:
        rows: Fields ``(*grid, channels)`` by column, by row. Panels of one column have scales of their own.
        names: Of the channels.
    """
    from matplotlib.figure import Figure

    columns = [(title, channel) for title in next(iter(rows.values())) for channel in range(len(names))]
    figure = Figure(figsize=(2.1 * len(columns) + 0.4, 1.9 * len(rows) + 0.3), layout="constrained")
    panels = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (label, fields) in zip(panels, rows.items(), strict=True):
        for panel, (title, channel) in zip(line, columns, strict=True):
            values = fields[title][..., channel].numpy()
            if values.ndim == 2 and min(values.shape) > 1:
                panel.imshow(values.T, origin="lower", cmap="viridis")
                panel.set(xticks=[], yticks=[])
            else:
                panel.plot(values.ravel())
        line[0].set_ylabel(label)
    for panel, (title, channel) in zip(panels[0], columns, strict=True):
        panel.set_title(f"{title}: {names[channel]}", fontsize="small")
    return figure
