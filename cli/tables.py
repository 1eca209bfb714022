"""``sciml table``: compose every cell, run those without a row, print reported beside obtained."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.config import did_you_mean
from sciml.errors import UsageError
from sciml.folder import RunFolder
from sciml.grid import Cell, Table, key_of

from . import screen
from .configs import read
from .plan import Planned, planned

if TYPE_CHECKING:
    from sciml.verdict import Report

    from .cells import Job

WIDE = 200  # columns of a table that does not go to a terminal
_FIXED = {
    "seed": "the seeds of a table come with its budget",
    "outputs": "say --outputs FOLDER",
    "experiment": "the experiments of a table come with its rows",
}


def make_table(
    name: str,
    overrides: Sequence[str],
    budget: str,
    run: bool,
    jobs: int,
    form: str,
    outputs: str,
    config_dir: str | None,
    trust: Sequence[str],
) -> int:
    """Make a paper's table; returns the exit code.

    Args:
        name: ``paper/table``.
        overrides: Added to every cell.
        budget: One of the table's budgets.
        run: Run what is missing; otherwise only read rows.
        jobs: Runs side by side; 0 for one per core.
        form: text, md, json or csv.
        outputs: Root of the run folders.
        config_dir: The user's folder of configs.
        trust: Packages whose classes the runs may build.
    """
    from sciml.render import FORMATS

    try:
        _known("format", form, FORMATS)
        table = find_table(name, config_dir)
        _known("budget", budget, table.budgets)
        for key in map(key_of, overrides):
            if key in _FIXED:
                raise UsageError(f"{key} cannot be overridden here: {_FIXED[key]}")
        plan = planned(table, budget, overrides, Path(outputs), config_dir)
        code = _run_missing(table, plan, jobs, outputs, config_dir, trust) if run else 0
        report = _report(table, budget, overrides, plan, config_dir)
    except UsageError as error:
        screen.error(str(error))
        return 2
    _print(report, form)
    for message in report.damaged:
        screen.error(f"left out: {message}; remove the file to run this cell again")
    lacking = any(len(result.seeds) < len(result.cell.seeds) for result in report.results)
    return code or int(bool(report.damaged) or (run and lacking))


def find_table(name: str, config_dir: str | None) -> Table:
    """A table by its name.

    Raises:
        UsageError: There is no such table or folder, or the table's file has a mistake.
    """
    from sciml.table import load, places

    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"there is no config folder {config_dir}")
    return load(name, places(Path(config_dir) if config_dir else None))


def _run_missing(
    table: Table, plan: Sequence[Planned], width: int, outputs: str, config_dir: str | None, trust: Sequence[str]
) -> int:
    from sciml.launcher.local import Local
    from sciml.signals import exit_code

    from .cells import run_all
    from .launch import trusted

    trusted(trust)
    missing = _missing(table, plan, outputs, config_dir)
    if not missing:
        return 0
    launcher = Local(jobs=width)
    total = len({folder.path for item in plan for folder in item.folders.values()})
    runs = "1 run" if len(missing) == 1 else f"{len(missing)} runs"
    screen.note(
        f"{table.name}: {runs} to do, {total - len(missing)} found; {launcher.width(missing)} at a time, in {outputs}/"
    )
    number = run_all(missing, launcher)
    if number is not None:
        screen.note("stopped; the same command goes on from here")
        return exit_code(number)
    for job in (job for job in missing if job.state == "failed"):
        screen.error(f"{job.label} failed: {job.error}\nits output: {job.folder.path / 'run.log'}")
    return int(any(job.state == "failed" for job in missing))


def _missing(table: Table, plan: Sequence[Planned], outputs: str, config_dir: str | None) -> list[Job]:
    """The runs without a row: all first seeds, then all second ones, so that every method is seen early."""
    from sciml.verdict import row_of, value

    from .cells import Job

    jobs: dict[Path, Job] = {}
    for i in range(max(len(item.folders) for item in plan)):
        for item in plan:
            for seed, folder in list(item.folders.items())[i : i + 1]:
                try:
                    row = row_of(folder)
                except UsageError:
                    continue  # a damaged row is named with the table
                if row is not None:
                    value(table, item.cell, row)
                elif folder.path not in jobs:
                    cell = item.cell
                    arguments = _arguments(cell, seed, outputs, config_dir)
                    jobs[folder.path] = Job(
                        label=_label(table, cell, seed),
                        folder=folder,
                        command=[sys.executable, "-m", "sciml.cli", "train", *arguments],
                        log=folder.path / "run.log",
                        threads=item.threads,
                        steps=item.steps,
                        describe=_describe(table, cell, folder),
                    )
    return list(jobs.values())


def _label(table: Table, cell: Cell, seed: int) -> str:
    column = f" [{cell.column.name}]" if len(table.columns) > 1 else ""
    return f"{cell.row.name}{column} seed {seed}"


def _arguments(cell: Cell, seed: int, outputs: str, config_dir: str | None) -> list[str]:
    options = ["--config-dir", config_dir] if config_dir else []
    place = (
        outputs if re.fullmatch(r"[\w./-]+", outputs) else "'" + outputs.replace("\\", "\\\\").replace("'", "\\'") + "'"
    )
    # What follows "--" is never an option, whatever a table file holds.
    return [*options, "--", f"+experiment={cell.experiment}", *cell.overrides, f"seed={seed}", f"outputs={place}"]


def _describe(table: Table, cell: Cell, folder: RunFolder) -> Callable[[], str]:
    from sciml.render import number
    from sciml.verdict import row_of, value

    def describe() -> str:
        row = row_of(folder)
        if row is None:
            return f"no row in {folder.path}"
        metric = cell.column.metric
        return f"{metric.label} {number(value(table, cell, row))}{f' {metric.unit}' if metric.unit else ''}"

    return describe


def _report(table: Table, budget: str, extra: Sequence[str], plan: Sequence[Planned], config_dir: str | None) -> Report:
    from sciml.verdict import collect

    folders = {(p.cell.row.name, p.cell.column.name, seed): f for p in plan for seed, f in p.folders.items()}
    chosen = table.budgets[budget]
    return collect(table, citation(table.paper, config_dir), chosen, extra, [p.cell for p in plan], folders)


def citation(paper: str, config_dir: str | None) -> str:
    """A paper in words, from its file."""
    tree = read(f"paper/{paper}", config_dir)
    authors = f"{tree['authors']} ({tree['year']})" if tree.get("authors") and tree.get("year") else tree.get("authors")
    return ". ".join(str(part) for part in (authors, tree.get("title"), tree.get("venue"), tree.get("url")) if part)


def _print(report: Report, form: str) -> None:
    from sciml.render import FORMATS, as_text

    write = FORMATS[form]
    if write is not None:
        print(write(report), end="")
        return
    console = screen.out()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    as_text(report, console)


def _known(what: str, word: str, options: Iterable[str]) -> None:
    options = list(options)
    if word not in options:
        raise UsageError(f"there is no {what} {word}{did_you_mean(word, options)}\navailable: {', '.join(options)}")
