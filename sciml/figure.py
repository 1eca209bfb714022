"""Figures: plain functions from arrays to matplotlib figures, with colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

Axis = tuple[str, Tensor]


def heatmaps(
    fields: dict[str, Tensor],
    horizontal: Axis,
    vertical: Axis,
    *,
    errors: Sequence[str] = (),
    marks: dict[str, Tensor] | None = None,
) -> Figure:
    """Fields over two axes side by side, all on one colour scale except the errors.

    Args:
        fields: Values (len(horizontal), len(vertical)) by title.
        horizontal: Label with unit, and equidistant coordinates, of the first dimension.
        vertical: The same for the second dimension.
        errors: Titles that are magnitudes of errors: each on a scale of its own that starts at zero.
        marks: Points (n, 2), horizontal and vertical, to draw over the field with this title.

    Returns:
        One row of panels.
    """
    (x_label, x), (y_label, y) = horizontal, vertical
    figure = Figure(figsize=(4.2 * len(fields), 3.4), layout="constrained")
    panels = figure.subplots(1, len(fields), squeeze=False)[0]
    common = np.concatenate([_array(f).ravel() for title, f in fields.items() if title not in errors] or [np.zeros(1)])
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    for panel, (title, field) in zip(panels, fields.items(), strict=True):
        low, high = (0.0, None) if title in errors else (common.min(), common.max())
        image = panel.imshow(
            _array(field).T,
            origin="lower",
            extent=extent,
            aspect="auto",
            cmap="magma" if title in errors else "viridis",
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        figure.colorbar(image, ax=panel)
        panel.set(title=title, xlabel=x_label, ylabel=y_label)
        if marks and title in marks:
            across, up = _array(marks[title]).T
            panel.scatter(across, up, s=3, c="white", alpha=0.7, linewidths=0)
            panel.set(xlim=extent[:2], ylim=extent[2:])
    return figure


def images(fields: dict[str, Tensor], *, alike: Sequence[str] = (), signed: Sequence[str] = ()) -> Figure:
    """Fields on grids of two axes side by side, each on a colour scale of its own unless said otherwise.

    Args:
        fields: Values ``(horizontal, vertical)`` by title.
        alike: Titles that share the scale of the first of them.
        signed: Titles whose scale is symmetric around zero, which is white.

    Returns:
        One row of panels.
    """
    return image_rows({"": fields}, alike=alike, signed=signed)


def image_rows(rows: dict[str, dict[str, Tensor]], *, alike: Sequence[str] = (), signed: Sequence[str] = ()) -> Figure:
    """Several rows of :func:`images`, with the same titles and scales of their own.

    Args:
        rows: What :func:`images` takes, by the label of the row.
        alike: As there.
        signed: As there.

    Returns:
        One row of panels for each.
    """
    titles = list(next(iter(rows.values())))
    figure = Figure(figsize=(3 * len(titles), 2.8 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(titles), squeeze=False)
    for line, (label, fields) in zip(panels, rows.items(), strict=True):
        for panel, title in zip(line, titles, strict=True):
            values = _array(fields[title])
            image = panel.imshow(values.T, origin="lower", cmap="RdBu_r" if title in signed else "viridis")
            if title in alike:
                first = _array(fields[alike[0]])
                image.set_clim(first.min(), first.max())
            elif title in signed:
                image.set_clim(-abs(values).max(), abs(values).max())
            figure.colorbar(image, ax=panel)
        line[0].set_ylabel(label)
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title)
    return figure


def _array(values: Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
