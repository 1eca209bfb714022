"""What is drawn of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def observed_figure(parts: Mapping[str, Tensor], names: Sequence[str] = ()) -> Figure:
    """What is known of one field without its truth; images for fields of two axes, a row for each channel, else lines.

    Args:
        parts: ``samples`` ``(samples, *grid, channels)`` and their ``mean`` ``(*grid, channels)``; where there are any,
            their ``std``, ``exact_mean`` and ``exact_std``, and ``adjoint``, that of a linear measurement applied to y.
        names: Of the channels; if there are none they are counted.
    """
    drawn = parts["samples"][:2]
    mean = parts["mean"]
    if mean.ndim != 3 or min(mean.shape[:2]) < 2:
        return _observed_lines(parts, drawn)
    titles = {"adjoint": "adjoint of y", "mean": "mean of samples", "exact_mean": "exact mean"}
    spreads = {"std": "their sd", "exact_std": "exact sd"}
    panels = {title: parts[name] for name, title in {**titles, **spreads}.items() if name in parts}
    panels |= {f"sample {i + 1}": sample for i, sample in enumerate(drawn)}
    alike = ("mean of samples", "exact mean", "sample 1", "sample 2")
    return _channel_rows(panels, names, alike=alike)


def fit_figure(y: Tensor, fitted: Tensor) -> Figure:
    """Measured numbers against what the samples predict for them.

    Args:
        y: ``(m,)``.
        fitted: Means over the samples ``(m,)``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.8, 3.6), layout="constrained")
    title = f"fit of {len(y)} numbers"
    axes = figure.add_subplot(xlabel="measured y", ylabel="A of the samples, mean", title=title, aspect="equal")
    ends = [float(min(y.min(), fitted.min())), float(max(y.max(), fitted.max()))]
    axes.plot(ends, ends, "k--", linewidth=1)
    axes.scatter(y.numpy(), fitted.numpy(), s=8, color="#0072b2", linewidths=0, alpha=0.6)
    return figure


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
    panels = {"truth": truth, "adjoint of y": seen, "mean of samples": mean, "their sd": std, "error": mean - truth}
    drawn = {name: field for name, field in panels.items() if field is not None}
    return _channel_rows(drawn, names, alike=("truth", "mean of samples"), signed=("error",))


def _channel_rows(
    panels: dict[str, Tensor], names: Sequence[str], *, alike: Sequence[str], signed: Sequence[str] = ()
) -> Figure:
    from sciml.figure import image_rows

    channels = next(iter(panels.values())).shape[-1]
    labels = list(names) or ([f"channel {i}" for i in range(channels)] if channels > 1 else [""])
    rows = {label: {name: field[..., i] for name, field in panels.items()} for i, label in enumerate(labels)}
    return image_rows(rows, alike=alike, signed=signed)


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


def _observed_lines(parts: Mapping[str, Tensor], drawn: Tensor) -> Figure:
    from matplotlib.figure import Figure

    flat = {name: part.flatten() for name, part in parts.items() if name != "samples"}
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="entry", ylabel="x", title="first observation")
    entries = range(len(flat["mean"]))
    for sample in drawn:
        axes.plot(entries, sample.flatten().numpy(), color="#999999", linewidth=0.8)
    for name, colour in (("", "#0072b2"), ("exact_", "#d55e00")):
        if f"{name}mean" not in flat:
            continue
        mean, what = flat[f"{name}mean"].numpy(), "exact posterior" if name else "samples"
        axes.plot(entries, mean, color=colour, linestyle="--" if name else "-", label=f"{what}, mean ± 2 sd")
        if (std := flat.get(f"{name}std")) is not None:
            low, high = mean - 2 * std.numpy(), mean + 2 * std.numpy()
            axes.fill_between(entries, low, high, color=colour, alpha=0.2, linewidth=0)
    axes.legend()
    return figure
