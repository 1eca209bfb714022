"""What is drawn of a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.diffusion.calibration import intervals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 20  # of a rank histogram at the most


def posterior_figure(
    *, truth: Tensor, mean: Tensor, std: Tensor, seen: Tensor | None = None, names: Sequence[str] = ()
) -> Figure:
    """One problem; images for fields of two axes, a row for each channel, else lines.

    Args:
        truth: ``(*grid, channels)``.
        mean: Of the samples.
        std: Of the samples, entry by entry.
        seen: The adjoint of a linear measurement, applied to the observations.
        names: Of the channels; if there are none they are counted.
    """
    if truth.ndim == 3 and min(truth.shape[:2]) > 1:
        return _images(truth, mean, std, seen, names)
    return _lines(truth.flatten(), mean.flatten(), std.flatten())


def calibration_figure(counts: Tensor) -> Figure:
    """Rank histogram, and how much of the truth the intervals between samples hold.

    Args:
        counts: Entries of the truth that are above so many samples ``(samples + 1,)``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    edges = torch.linspace(0, len(counts), min(len(counts), BINS) + 1).round().long()
    width = edges.diff()
    frequency = torch.stack([part.sum() for part in counts.split(width.tolist())]) / width * len(counts) / counts.sum()
    place, wide = edges[:-1] / len(counts), width / len(counts)
    left.bar(place.numpy(), frequency.numpy(), width=wide.numpy(), align="edge", color="#0072b2", edgecolor="white")
    left.axhline(1, color="black", linestyle="--", linewidth=1)
    left.set(
        xlabel="share of the samples below the truth", ylabel="frequency (calibrated: 1)", title="ranks of the truth"
    )
    level, inside = (part.numpy() for part in intervals(counts))
    right.plot([0, 1], [0, 1], "k--", linewidth=1, label="calibrated")
    right.plot(level, inside, color="#d55e00", label="these samples")
    right.set(
        xlabel="level of a central interval", ylabel="share of the truth inside", title="coverage", aspect="equal"
    )
    right.legend(loc="upper left")
    return figure


def _images(truth: Tensor, mean: Tensor, std: Tensor, seen: Tensor | None, names: Sequence[str]) -> Figure:
    from sciml.figure import image_rows

    panels = {"truth": truth, "adjoint of y": seen, "mean of samples": mean, "their sd": std, "error": mean - truth}
    drawn = {name: field for name, field in panels.items() if field is not None}
    channels = truth.shape[-1]
    labels = list(names) or ([f"channel {i}" for i in range(channels)] if channels > 1 else [""])
    rows = {label: {name: field[..., i] for name, field in drawn.items()} for i, label in enumerate(labels)}
    return image_rows(rows, alike=("truth", "mean of samples"), signed=("error",))


def _lines(truth: Tensor, mean: Tensor, std: Tensor) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="entry", ylabel="x", title="first problem")
    entries = range(len(truth))
    low, high = (mean - 2 * std).numpy(), (mean + 2 * std).numpy()
    axes.fill_between(entries, low, high, alpha=0.3, label="mean of samples ± 2 sd")
    axes.plot(entries, mean.numpy())
    axes.plot(entries, truth.numpy(), "k--", label="truth")
    axes.legend()
    return figure
