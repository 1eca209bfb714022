"""Two figures of a search: how it went on, and how much each parameter matters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml.search import Study, Trial

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#7f7f7f"  # told apart by colour-blind readers


def draw(study: Study, trials: Sequence[Trial], importance: Mapping[str, float]) -> list[Path]:
    """Write ``history.png`` and, if there is something to show, ``importance.png``.

    Raises:
        RunError: They cannot be written.
    """
    figures = {}
    if any(trial.value is not None for trial in trials):
        figures["history"] = history(trials, study.spec.objective or "lowest held-out loss", study.spec.direction)
    if importance:
        done = sum(trial.state == "done" for trial in trials)
        figures["importance"] = importances(importance, done)
    paths = []
    for name, figure in figures.items():
        path = study.folder / f"{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, dpi=150, format="png")
        paths.append(path)
    return paths


def history(trials: Sequence[Trial], label: str, direction: str) -> Figure:
    """Every trial's value by its number, the best so far, and where trials failed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    done = sorted((t.number, t.value) for t in trials if t.value is not None)
    numbers, values = [n for n, _ in done], [v for _, v in done]
    failed = [trial.number for trial in trials if trial.state == "failed"]
    pick = min if direction == "minimize" else max
    best = [pick(values[: i + 1]) for i in range(len(values))]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.scatter(numbers, values, s=18, color=_BLUE, label="trial")
    end = max(trial.number for trial in trials)
    axes.step([*numbers, end], [*best, best[-1]], where="post", color=_ORANGE, label="best so far")
    if failed:
        transform = axes.get_xaxis_transform()
        axes.scatter(failed, [0.03] * len(failed), marker="x", s=28, color=_GREY, label="failed", transform=transform)
    if min(values) > 0 and max(values) > 10 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter("{x:g}" if max(values) < 1000 * min(values) else NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel=label)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False)
    return figure


def importances(shares: Mapping[str, float], done: int) -> Figure:
    """A bar for each parameter, the largest on top."""
    from matplotlib.figure import Figure

    names = list(shares)
    figure = Figure(figsize=(6.4, 1.1 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, [shares[name] for name in names], color=_BLUE)
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set(
        xlim=(0, 1.1 * max(shares.values())), xlabel=f"importance for being among the best (PED-ANOVA, {done} trials)"
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure
