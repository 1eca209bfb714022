"""``sciml table``: compose every cell, run those without a row, print reported beside obtained."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.config import did_you_mean
from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder
from sciml.grid import Table, key_of

from . import screen
from .configs import read
from .plan import Planned, planned
from .table_runs import hand_over, make, missing_runs

if TYPE_CHECKING:
    from sciml.verdict import Report

_FORMATS = ("text", "md", "json", "csv", "latex", "html")
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
    seeds: int | None = None,
    only: Sequence[str] = (),
    launcher: str | None = None,
) -> int:
    """Make a paper's table; returns the exit code.

    Args:
        name: ``paper/table``.
        overrides: Added to every cell, and settings of the launcher.
        budget: One of the table's budgets.
        run: Run what is missing; otherwise only read rows.
        jobs: Runs side by side; 0 for one per core.
        form: text, md, json, csv, latex or html.
        outputs: Root of the run folders.
        config_dir: The user's folder of configs.
        trust: Packages whose classes the runs may build.
        seeds: How many seeds; None for those of the budget.
        only: Rows to make, beside floors and ceilings; all if empty.
        launcher: Who makes the missing runs, as a sweep; None: this process, side by side.
    """
    from .launchers import split

    overrides, settings = split(overrides)
    try:
        if settings and launcher is None:
            raise UsageError(f"{settings[0]} is a setting of a launcher: say --launcher NAME")
        _known("format", form, _FORMATS)
        table = find_table(name, config_dir)
        _known("budget", budget, table.budgets)
        table = _with_seeds(_with_rows(table, only), budget, seeds)
        for key in map(key_of, overrides):
            if key in _FIXED:
                raise UsageError(f"{key} cannot be overridden here: {_FIXED[key]}")
        plan = planned(table, budget, overrides, Path(outputs), config_dir)
        missing = missing_runs(table, plan) if run else []
        code, submitted = 0, False
        if missing and launcher is not None:
            settings += [f"launcher.jobs={jobs}"] if jobs else []
            code, submitted = hand_over(table, budget, missing, launcher, settings, outputs, config_dir, trust)
        elif missing:
            code = make(table, plan, missing, jobs, outputs, config_dir, trust)
        report, folders = _report(table, budget, overrides, plan, config_dir)
        _print(report, folders, form)
    except (UsageError, RunError) as error:
        return screen.failed(error)
    for message in report.changed:
        screen.note(message)
    for message in report.damaged:
        screen.error(f"left out: {message}; remove the file to run this cell again")
    if missing and any(result.values for result in report.results):
        _mirror(report, plan, Path(outputs))
    lacking = any(len(result.seeds) < len(result.cell.seeds) for result in report.results)
    return code or int(bool(report.damaged) or (run and lacking and not submitted))


def find_table(name: str, config_dir: str | None) -> Table:
    """A table by its name.

    Raises:
        UsageError: There is no such table or folder, or the table's file has a mistake.
    """
    from sciml.table import load, places

    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"there is no config folder {config_dir}")
    return load(name, places(Path(config_dir) if config_dir else None))


def judged(
    table: Table, budget: str, outputs: Path, config_dir: str | None
) -> tuple[Report, dict[tuple[str, str, int], RunFolder]]:
    """A table from the rows there are, and the run folder for each row name, column name and seed.

    Raises:
        UsageError: A cell does not compose, or a row lacks the metric that the table asks for.
    """
    return _report(table, budget, (), planned(table, budget, (), outputs, config_dir), config_dir)


def _report(
    table: Table, budget: str, extra: Sequence[str], plan: Sequence[Planned], config_dir: str | None
) -> tuple[Report, dict[tuple[str, str, int], RunFolder]]:
    from sciml.verdict import collect

    folders = {(p.cell.row.name, p.cell.column.name, seed): f for p in plan for seed, f in p.folders.items()}
    chosen = table.budgets[budget]
    report = collect(table, citation(table.paper, config_dir), chosen, extra, [p.cell for p in plan], folders)
    return report, folders


def _mirror(report: Report, plan: Sequence[Planned], outputs: Path) -> None:
    """A table that has changed goes to W&B, as its runs went."""
    from sciml.render import cells
    from sciml.track import log_table

    log_table(report.table.name, cells(report), plan[0].track, outputs / ".tables" / report.table.name)


def _with_rows(table: Table, only: Sequence[str]) -> Table:
    """The table with the rows named by the user, and those that methods are judged against."""
    if not only:
        return table
    names = {row.name.lower(): row.name for row in table.rows}
    for name in only:
        if name.lower() not in names:
            listed = ", ".join(row.name for row in table.rows)
            raise UsageError(
                f"{table.file} has no row '{name}'{did_you_mean(name, names.values())}\nits rows: {listed}"
            )
    wanted = {names[name.lower()] for name in only}
    return replace(table, rows=tuple(row for row in table.rows if row.kind != "method" or row.name in wanted))


def _with_seeds(table: Table, budget: str, seeds: int | None) -> Table:
    """The table with as many seeds as the user asks for: those of the budget first, then the next free ones."""
    if seeds is None:
        return table
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {seeds}")
    chosen = table.budgets[budget]
    further = (seed for seed in itertools.count() if seed not in chosen.seeds)
    listed = tuple(itertools.islice(itertools.chain(chosen.seeds, further), seeds))
    return replace(table, budgets={**table.budgets, budget: replace(chosen, seeds=listed)})


def citation(paper: str, config_dir: str | None) -> str:
    """A paper in words, from its file."""
    tree = read(f"paper/{paper}", config_dir)
    authors = f"{tree['authors']} ({tree['year']})" if tree.get("authors") and tree.get("year") else tree.get("authors")
    return ". ".join(str(part) for part in (authors, tree.get("title"), tree.get("venue"), tree.get("url")) if part)


def _print(report: Report, folders: Mapping[tuple[str, str, int], RunFolder], form: str) -> None:
    from sciml import render

    if form == "html":
        from sciml.report.gather import table_data
        from sciml.report.page import page

        print(page([table_data(report, folders)], [], report.damaged, title=report.table.name))
    elif form == "latex":
        from sciml.latex import as_latex

        print(as_latex(report), end="")
    elif write := {"md": render.as_markdown, "json": render.as_json, "csv": render.as_csv}.get(form):
        print(write(report), end="")
    else:
        from sciml.tabletext import as_text

        console = screen.out()
        narrow = console.is_terminal or "COLUMNS" in os.environ
        if not narrow:
            console.width = WIDE
        as_text(report, console, wrap=narrow)


def _known(what: str, word: str, options: Iterable[str]) -> None:
    options = list(options)
    if word not in options:
        raise UsageError(f"there is no {what} {word}{did_you_mean(word, options)}\navailable: {', '.join(options)}")
