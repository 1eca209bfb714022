"""Scores drawn where their examples live: points in their domain or plane, simulations and images as fields.

Colours run from blue (removing the example lowers the measurement) over white to red (removing it raises it), which
colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = "RdBu_r"
RAISES, LOWERS = "tab:red", "tab:blue"


def scored_points(
    points: dict[str, Tensor],
    scores: dict[str, Tensor],
    *,
    inputs: Sequence[str],
    interior: str,
    title: str,
    marked: Tensor | None = None,
    ringed: int = 10,
) -> Figure:
    """Points of a domain of two dimensions, coloured by score.

    Args:
        points: By condition ``(n, 2)``, or ``(n, k, 2)`` where a condition ties k points together.
        scores: By condition ``(n,)``.
        inputs: Names of the two axes.
        interior: The condition that has a panel of its own; the others share one.
        title: What is measured.
        marked: ``(k, 2)``, where it is measured.
        ringed: How many points with the largest and smallest scores are ringed.

    Returns:
        The interior points, those of the other conditions, and the sums by condition.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.2, 1.2, 1])
    everything = torch.cat(list(scores.values()))
    low, high = everything.topk(min(ringed, len(everything)), largest=False)[0].max(), _edge(everything, ringed)
    for panel, names in ((left, [interior]), (middle, [name for name in points if name != interior])):
        if not names:
            panel.set_visible(False)
            continue
        limit = torch.cat([scores[name] for name in names]).abs().quantile(0.98).clamp(min=1e-300)
        drawn: Any = None
        for name in names:
            x = points[name].reshape(len(points[name]), -1, 2)
            values = scores[name][:, None].expand(x.shape[:2])
            across, up = x.reshape(-1, 2).T.cpu().numpy()
            order = values.abs().reshape(-1).argsort().cpu().numpy()  # what matters is drawn last
            colour = values.reshape(-1).cpu().numpy()
            edges = [RAISES if v >= high and v > 0 else LOWERS if v <= low and v < 0 else "none" for v in colour[order]]
            drawn = panel.scatter(
                across[order],
                up[order],
                c=colour[order],
                s=22,
                cmap=COLOURS,
                vmin=-float(limit),
                vmax=float(limit),
                edgecolors=edges,
                linewidths=1.2,
                clip_on=False,
            )
        if marked is not None:
            panel.plot(*marked.T.cpu().numpy(), "*", color="gold", markeredgecolor="black", markersize=13)
        panel.set(title=", ".join(names), xlabel=inputs[0], ylabel=inputs[1])
        figure.colorbar(drawn, ax=panel, label="score of a point")
    names = list(scores)
    up = [float(scores[name].clamp(min=0).sum()) for name in names]
    down = [float(scores[name].clamp(max=0).sum()) for name in names]
    right.barh(names, up, color=RAISES, label="raise")
    right.barh(names, down, color=LOWERS, label="lower")
    right.axvline(0, color="black", linewidth=0.8)
    right.set(title="sum by condition", xlabel="predicted change without them")
    right.legend(frameon=False, title="without them: ")
    figure.suptitle(f"{title}   (ringed: the {ringed} points that raise and that lower it most when removed)")
    return figure


def _edge(scores: Tensor, number: int) -> Tensor:
    return scores.topk(min(number, len(scores)))[0].min()


def scored_fields(
    query: tuple[Tensor, Tensor | None],
    inputs: Tensor,
    targets: Tensor | None,
    scores: Tensor,
    *,
    title: str,
    what: str = "simulations",
    number: int = 4,
) -> Figure:
    """The query and the training examples with the largest and the smallest scores for it.

    Args:
        query: Its input ``(*grid, channels)`` and first state; None where there is but one field.
        inputs: Of the training examples ``(n, *grid, channels)``.
        targets: Their first states ``(n, *grid, channels)``, or None likewise.
        scores: ``(n,)``.
        title: What is measured.
        what: What the examples are.
        number: Of each kind.

    Returns:
        Upper row: the query, then those whose removal raises the measurement most. Lower row: those whose removal
        lowers it most, and all scores in order. The last input channel and the first of the state are drawn.
    """
    from matplotlib.figure import Figure

    number = min(number, len(scores))
    order = scores.argsort(descending=True)
    figure = Figure(figsize=(2.7 * (number + 1), 5), layout="constrained")
    panels = figure.subplots(2, number + 1)
    _field(panels[0, 0], *query, "query", "black")
    for row, chosen, colour in ((0, order, RAISES), (1, order.flip(0), LOWERS)):
        for j, i in enumerate(chosen[:number].tolist()):
            state = None if targets is None else targets[i]
            _field(panels[row, j + 1], inputs[i], state, f"no. {i}: {float(scores[i]):+.1e}", colour)
    panels[1, 0].plot(scores[order].cpu(), ".", color="black", markersize=3)
    panels[1, 0].axhline(0, color="black", linewidth=0.8)
    panels[1, 0].set_title("scores in order", fontsize="small")
    figure.suptitle(f"{title}\nabove: helpful {what}, without which it rises; below: those without which it falls")
    return figure


def scored_plane(x: Tensor, scores: Tensor, *, title: str, marked: Tensor, ringed: int = 10) -> Figure:
    """Examples that are points of a plane, coloured by score.

    Args:
        x: ``(n, 2)``.
        scores: ``(n,)``.
        title: What is measured.
        marked: ``(k, 2)``, where it is measured.
        ringed: How many points with the largest and smallest scores are ringed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.6), layout="constrained")
    panel = figure.add_subplot(xlabel="first channel", ylabel="second channel")
    ringed = min(ringed, len(scores))
    low, high = scores.topk(ringed, largest=False)[0].max(), _edge(scores, ringed)
    order = scores.abs().argsort()  # what matters is drawn last
    values = scores[order].cpu().numpy()
    limit = float(scores.abs().quantile(0.98).clamp(min=1e-300))
    edges = [RAISES if v >= high and v > 0 else LOWERS if v <= low and v < 0 else "none" for v in values]
    drawn = panel.scatter(
        *x[order].T.cpu().numpy(), c=values, s=22, cmap=COLOURS, vmin=-limit, vmax=limit, edgecolors=edges
    )
    panel.plot(*marked.T.cpu().numpy(), "*", color="gold", markeredgecolor="black", markersize=13)
    figure.colorbar(drawn, ax=panel, label="score of a training point")
    figure.suptitle(f"{title}\nringed: the {ringed} points that raise and that lower it most when removed")
    return figure


def _field(panel: Any, u: Tensor, v: Tensor | None, title: str, colour: str) -> None:
    u = u[..., -1].detach().cpu()
    if u.dim() == 1:
        panel.plot(u, color=colour, linewidth=1.2, label="input")
        if v is not None:
            panel.plot(v[..., 0].detach().cpu(), color=colour, linewidth=1.2, linestyle="--", label="next state")
        if title == "query" and v is not None:
            panel.legend(frameon=False, fontsize="x-small")
    else:
        panel.imshow(u.reshape(u.shape[0], -1).T.numpy(), origin="lower", cmap="viridis", aspect="auto")
    panel.set_title(title, fontsize="small", color=colour)
    panel.tick_params(labelsize="x-small")
