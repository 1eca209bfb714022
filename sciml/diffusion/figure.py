"""What is drawn of a reconstruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def posterior_figure(*, truth: Tensor, mean: Tensor, std: Tensor, seen: Tensor | None = None) -> Figure:
    """One problem; images for fields of two axes, else lines. Only the first channel of images is drawn.

    Args:
        truth: ``(*grid, channels)``.
        mean: Of the samples.
        std: Of the samples, entry by entry.
        seen: The adjoint of a linear measurement, applied to the observations.
    """
    if truth.ndim == 3 and min(truth.shape[:2]) > 1:
        return _images(truth[..., 0], mean[..., 0], std[..., 0], None if seen is None else seen[..., 0])
    return _lines(truth.flatten(), mean.flatten(), std.flatten())


def _images(truth: Tensor, mean: Tensor, std: Tensor, seen: Tensor | None) -> Figure:
    from sciml.figure import images

    panels = {"truth": truth, "adjoint of y": seen, "mean of samples": mean, "their sd": std, "error": mean - truth}
    drawn = {name: field for name, field in panels.items() if field is not None}
    return images(drawn, alike=("truth", "mean of samples"), signed=("error",))


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
