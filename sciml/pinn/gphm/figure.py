"""Figures of a solution of one variable, and of learned spectra."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor


def solution(name: str, x: Tensor, mean: Tensor, reference: Tensor | None) -> Figure:
    """A solution (n,) over its reference (n,), and the error beneath.

    Args:
        name: Of the variable.
        x: Its values (n,).
        mean: What was found.
        reference: What is true; None if nobody knows, then there is no error either.
    """
    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    if reference is None:
        panel = figure.subplots()
        panel.plot(x, mean, color="#d55e00", linewidth=0.9)
        panel.set(xlabel=name, ylabel="u")
        return figure
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(x, reference, color="#0072b2", linewidth=2.5, label="reference")
    above.plot(x, mean, color="#d55e00", linewidth=0.9, label="conditional mean")
    above.set(ylabel="u")
    above.legend(frameon=False, ncols=2, loc="upper right")
    below.semilogy(x, (mean - reference).abs().clamp_min(torch.finfo(mean.dtype).tiny), color="black", linewidth=0.8)
    below.set(xlabel=name, ylabel="|error of u|")
    return figure


def spectrum(lines: dict[str, tuple[Tensor, Tensor]]) -> Figure:
    """Weights over frequencies, one panel an input.

    Args:
        lines: Frequencies and weights of the components, (Q,) each, by the name of the input.
    """
    figure = Figure(figsize=(4.6 * len(lines), 3.2), layout="constrained")
    panels = figure.subplots(1, len(lines), squeeze=False)[0]
    for panel, (name, (frequency, weight)) in zip(panels, lines.items(), strict=True):
        panel.vlines(frequency, weight.min() / 2, weight, color="#0072b2", linewidth=1.5)
        panel.plot(frequency, weight, "o", color="#0072b2", markersize=3)
        panel.set(yscale="log", xlabel=f"frequency [cycles per unit of {name}]", ylabel="weight")
    return figure
