"""What a search has found: the table of trials on the screen and on file, the best command line, two figures."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.folder import write_atomically

from . import screen
from .search_watch import short

if TYPE_CHECKING:
    from sciml.search import Study, Trial

HELD_OUT = "lowest held-out loss"


@dataclass(frozen=True)
class Ranked:
    """A trial with its place; None unless it is done."""

    rank: int | None
    trial: Trial


def ranked(study: Study) -> list[Ranked]:
    """The trials, the best first, then those that are not done by number."""
    trials = study.trials(probe=True)
    sign = 1 if study.spec.direction == "minimize" else -1
    done = sorted((t for t in trials if t.value is not None), key=lambda t: (sign * (t.value or 0.0), t.number))
    others = [t for t in trials if t.value is None]
    return [*(Ranked(i, t) for i, t in enumerate(done, start=1)), *(Ranked(None, t) for t in others)]


def label(study: Study) -> str:
    """The objective in words."""
    return study.spec.objective or HELD_OUT


def show(study: Study) -> None:
    """Print the table of trials."""
    from rich.markup import escape
    from rich.table import Table

    every = ranked(study)
    if not every:
        return
    seeds = study.spec.seeds
    mean = f", mean of seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else ""
    table = Table(box=None, title=escape(f"{study.folder.name}: {label(study)}{mean}"), title_justify="left")
    names = [parameter.name for parameter in study.spec.space]
    for column in ("rank", "trial", "objective"):
        table.add_column(column, justify="right")
    for column in _shortest(names):
        table.add_column(escape(column), justify="right")
    for column in ("state", "s"):
        table.add_column(column, justify="right" if column == "s" else "left")
    table.add_column("run folder", overflow="fold")
    for item in every:
        trial = item.trial
        table.add_row(
            str(item.rank or ""),
            str(trial.number),
            "" if trial.value is None else screen.number(trial.value),
            *(escape(short(trial.params[name])) for name in names),
            trial.state,
            "" if trial.seconds is None else f"{trial.seconds:.1f}",
            escape(trial.error if trial.error else _runs(study, trial)),
        )
    screen.print_table(table)


def _shortest(names: Sequence[str]) -> list[str]:
    """The last part of each name, where that tells them apart."""
    leaves = [name.replace("/", ".").rpartition(".")[2] for name in names]
    return [leaf if leaves.count(leaf) == 1 else name for leaf, name in zip(leaves, names, strict=True)]


def _runs(study: Study, trial: Trial) -> str:
    places = [str(study.outputs / run) for run in trial.runs]
    return f"{places[0]} and {len(places) - 1} more" if len(places) > 1 else "".join(places)


def best(study: Study) -> list[str] | None:
    """The overrides of the best trial, without the seed; None if none is done."""
    from .search_worker import arguments

    first = next((item.trial for item in ranked(study) if item.rank == 1), None)
    return None if first is None else arguments(study.spec, dict(first.params))


def command_line(study: Study, overrides: Sequence[str], options: Sequence[str]) -> str:
    """``sciml train ...`` for the runs of a trial, as it can be pasted."""
    seeds = study.spec.seeds
    multirun = ["-m"] if len(seeds) > 1 else []
    place = str(study.outputs)
    quoted = place if re.fullmatch(r"[\w./-]+", place) else "'" + place.replace("\\", "\\\\").replace("'", "\\'") + "'"
    where = [] if place == "outputs" else [f"outputs={quoted}"]
    return shlex.join(["sciml", "train", *multirun, *options, *overrides, f"seed={','.join(map(str, seeds))}", *where])


def write(study: Study) -> list[Path]:
    """Write the trials as CSV and JSON, and the figures; returns the figures.

    Raises:
        RunError: They cannot be written.
    """
    from .search_figure import draw

    every, importance = ranked(study), study.importances()
    names = [parameter.name for parameter in study.spec.space]
    write_atomically(study.folder / "trials.csv", _csv(every, names))
    record = {
        "search": study.folder.name,
        "experiment": study.spec.experiment,
        "objective": label(study),
        "direction": study.spec.direction,
        "seeds": list(study.spec.seeds),
        "space": {p.name: str(p).partition(": ")[2] for p in study.spec.space},
        "importance": importance or None,
        "trials": [_record(item) for item in every],
    }
    write_atomically(study.folder / "trials.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return draw(study, [item.trial for item in every], importance)


def _record(item: Ranked) -> dict[str, Any]:
    trial = item.trial
    return {
        "rank": item.rank,
        "trial": trial.number,
        "state": trial.state,
        "objective": trial.value,
        "by_seed": list(trial.values),
        "parameters": dict(trial.params),
        "seconds": trial.seconds,
        "runs": list(trial.runs),
        "error": trial.error or None,
    }


def _csv(every: Sequence[Ranked], names: Sequence[str]) -> str:
    file = io.StringIO()
    head = ["rank", "trial", "state", "objective", *names, "seconds", "runs", "error"]
    writer = csv.DictWriter(file, head, lineterminator="\n")
    writer.writeheader()
    for item in every:
        record = _record(item)
        params: Mapping[str, str] = record["parameters"]
        kept = {key: record[key] for key in head if key in record}
        writer.writerow({**kept, **params, "runs": " ".join(record["runs"])})
    return file.getvalue()
