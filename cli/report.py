"""``sciml report``: tables and runs as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder

from . import screen


def make_report(
    names: Sequence[str], file: str, budget: str | None, outputs: str, config_dir: str | None, title: str | None
) -> int:
    """Write a report; returns the exit code.

    Args:
        names: Tables (``paper/table``) and runs (folders, or parts of their paths); all there are if empty.
        file: The page to write.
        budget: Budget of the tables; None takes ``desk`` where a table has it.
        outputs: Root of the run folders.
        config_dir: The user's folder of configs.
        title: Heading of the page.
    """
    from sciml.folder import write_atomically
    from sciml.report.page import page

    try:
        problems: list[str] = []
        root = Path(outputs)
        wanted, folders = _sort_out(names, root, config_dir)
        tables, shown = [], dict.fromkeys(folder.path.resolve() for folder in folders)
        for name in wanted:
            data, used = _table(name, budget, root, config_dir, everything=not names, problems=problems)
            if data is not None:
                tables.append(data)
                shown |= dict.fromkeys(folder.path.resolve() for folder in used)
        runs = _runs(list(shown), root.resolve(), problems)
        if not tables and not runs:
            raise UsageError(f"{outputs} holds no runs yet: nothing to report")
        heading = title or (" and ".join(names) if 0 < len(names) <= 2 else "sciml report")
        html = page(tables, runs, list(dict.fromkeys(problems)), title=heading)
        target = Path(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, html)
    except (UsageError, RunError, OSError) as error:
        return screen.failed(error)
    for line in dict.fromkeys(problems):
        screen.note(line)
    size = target.stat().st_size / 2**20
    screen.note(f"{len(tables)} tables and {len(runs)} runs in {target} ({size:.1f} MiB), one file for any browser")
    return 0


def _sort_out(names: Sequence[str], outputs: Path, config_dir: str | None) -> tuple[list[str], list[RunFolder]]:
    from sciml.lookup import find
    from sciml.report.gather import runs_below
    from sciml.table import names as tables
    from sciml.table import places

    if config_dir and not Path(config_dir).is_dir():
        raise UsageError(f"there is no config folder {config_dir}")
    known = tables(places(Path(config_dir) if config_dir else None))
    if not names:
        return known, runs_below(outputs)
    chosen = [name for name in names if name in known]
    folders = []
    for name in names:
        if name in known:
            continue
        below = outputs / name  # an experiment, or any folder of runs
        folders += (
            runs_below(below) if below.is_dir() and not (below / "config.yaml").exists() else [find(name, outputs)]
        )
    return chosen, folders


def _table(
    name: str, budget: str | None, outputs: Path, config_dir: str | None, *, everything: bool, problems: list[str]
) -> tuple[dict[str, Any] | None, list[RunFolder]]:
    """A table's data and the folders of its rows; None for a table without rows that nobody asked for by name."""
    from sciml.report.gather import table_data

    from .tables import find_table, judged

    try:
        table = find_table(name, config_dir)
        if everything and not any((outputs / experiment).is_dir() for experiment in table.experiments):
            return None, []  # without composing its cells, which takes a tenth of a second each
        chosen = budget if budget and budget in table.budgets else "desk" if "desk" in table.budgets else "paper"
        report, folders = judged(table, chosen, outputs, config_dir)
    except UsageError as error:
        if not everything:
            raise
        problems.append(f"left out: {error}".splitlines()[0])
        return None, []
    problems += [f"left out: {message}" for message in report.damaged]
    problems += report.changed
    if everything and not any(result.values for result in report.results):
        return None, []
    used = [folder for folder in folders.values() if folder.row.exists()]
    return table_data(report, folders), used


def _runs(paths: Sequence[Path], outputs: Path, problems: list[str]) -> list[dict[str, Any]]:
    from sciml.report.gather import run_data

    found = []
    for path in paths:
        name = path.relative_to(outputs).as_posix() if path.is_relative_to(outputs) else path.name
        data = run_data(RunFolder(path), name, problems)
        if data is not None:
            found.append(data)
    return sorted(found, key=lambda run: run["id"])
