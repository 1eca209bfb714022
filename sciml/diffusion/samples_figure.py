"""What is drawn of generated samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

SHOWN = 6  # images along each side
POINTS = 4000


def samples_figure(*, exact: Tensor, generated: Tensor) -> Figure:
    """Samples of the wanted law beside generated ones.

    Images for fields of two axes, first channel; lines for those of one; points for the first two entries of fields
    with eight or fewer.

    Args:
        exact: ``(n, *grid, channels)``.
        generated: The same.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    field = exact.shape[1:]
    ends = torch.stack([exact.flatten(1).min(0).values, exact.flatten(1).max(0).values])
    for panel, (title, samples) in zip(panels, (("exact", exact), ("generated", generated)), strict=True):
        panel.set_title(title)
        if len(field) == 3 and min(field[:2]) > 1:
            panel.imshow(_tiled(samples[..., 0]), cmap="viridis", vmin=float(ends[0].min()), vmax=float(ends[1].max()))
            panel.set_axis_off()
        elif 1 < exact[0].numel() <= 8:
            low, high = (end[:2].double() for end in ends)
            margin = 0.1 * (high - low)
            x, y = samples.flatten(1)[:POINTS, :2].T.numpy()
            panel.scatter(x, y, s=3, alpha=0.3, linewidths=0)
            panel.set(xlabel="first entry", ylabel="second entry", aspect="equal")
            panel.set(xlim=_ends(low - margin, high + margin, 0), ylim=_ends(low - margin, high + margin, 1))
        else:
            panel.plot(samples[: SHOWN**2].flatten(1).T.numpy(), linewidth=0.7)
            panel.set(xlabel="entry", ylabel="x", ylim=(float(ends[0].min()), float(ends[1].max())))
    return figure


def _ends(low: Tensor, high: Tensor, axis: int) -> tuple[float, float]:
    return float(low[axis]), float(high[axis])


def _tiled(fields: Tensor) -> np.ndarray:
    """The first fields ``(n, a, b)`` as one image; the first axis of each points to the right, the second upwards."""
    side = min(SHOWN, int(len(fields) ** 0.5))
    rows = fields[: side**2].transpose(1, 2).flip(1).unflatten(0, (side, side))
    rows = torch.nn.functional.pad(rows, (0, 1, 0, 1), value=float("nan"))
    return rows.permute(0, 2, 1, 3).flatten(2).flatten(0, 1).numpy()
