"""The runs that a table lacks: which they are, and making them here or handing them to a launcher."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.errors import UsageError
from sciml.folder import RunFolder
from sciml.grid import Cell, Table

from . import needs, screen
from .plan import Planned
from .request import quoted

if TYPE_CHECKING:
    from sciml.launcher.local import Local

    from .cells import Job


def missing_runs(table: Table, plan: Sequence[Planned]) -> list[tuple[Planned, int]]:
    """The runs without a row: all first seeds, then all second ones, so that every method is seen early."""
    from sciml.verdict import row_of, value

    found: dict[Path, tuple[Planned, int]] = {}
    for i in range(max(len(item.folders) for item in plan)):
        for item in plan:
            for seed, folder in list(item.folders.items())[i : i + 1]:
                try:
                    row = row_of(folder)
                except UsageError:
                    continue  # a damaged row is named with the table
                if row is not None:
                    value(table, item.cell, row)
                else:
                    found.setdefault(folder.path, (item, seed))
    return list(found.values())


def make(
    table: Table,
    plan: Sequence[Planned],
    missing: Sequence[tuple[Planned, int]],
    width: int,
    outputs: str,
    config_dir: str | None,
    trust: Sequence[str],
) -> int:
    """Make the missing runs here, side by side, after those that they build on.

    Args:
        table: The table.
        plan: All of its cells.
        missing: Cells and seeds to make.
        width: Runs side by side; 0 for one per core.
        outputs: Root of the run folders.
        config_dir: The user's folder of configs.
        trust: Packages whose classes the runs may build.

    Returns:
        The exit code.

    Raises:
        UsageError: A package to be trusted cannot be.
    """
    from sciml.launcher.local import Local
    from sciml.signals import exit_code

    from .launch import trusted

    trusted(trust)
    first = needs.lacking(_needs(missing), Path(outputs))
    if first:
        listed = ", ".join(f"{name} seed {seed}" for name, seed in first)
        screen.note(f"{table.name}: builds on {listed}, which comes first")
        number, failed = _all(needs.jobs(first, outputs, config_dir), Local(jobs=width))
        if number is not None or failed:
            return exit_code(number) if number is not None else 1
    jobs = [_job(table, item, seed, outputs, config_dir) for item, seed in missing]
    launcher = Local(jobs=width)
    total = len({folder.path for item in plan for folder in item.folders.values()})
    runs = "1 run" if len(jobs) == 1 else f"{len(jobs)} runs"
    screen.note(
        f"{table.name}: {runs} to do, {total - len(jobs)} found; {launcher.width(jobs)} at a time, in {outputs}/"
    )
    number, failed = _all(jobs, launcher)
    return exit_code(number) if number is not None else int(failed)


def hand_over(
    table: Table,
    budget: str,
    missing: Sequence[tuple[Planned, int]],
    name: str,
    settings: Sequence[str],
    outputs: str,
    config_dir: str | None,
    trust: Sequence[str],
) -> tuple[int, bool]:
    """Make the missing runs a sweep: frozen, and given to a launcher.

    Returns:
        The exit code, and whether the runs are still to come.
    """
    from .launch import trusted
    from .origin import hydra_session
    from .sweep import carry_out, chosen_launcher
    from .sweep_plan import plan_of

    packages = trusted(trust)
    for first, seed in needs.lacking(_needs(missing), Path(outputs)):
        there = any((Path(outputs) / first).glob(f"*-seed{seed}/row.json"))
        say = shlex.join(["sciml", *needs.command(first, seed, outputs, force=there, config_dir=config_dir)])
        raise UsageError(f"{table.name} builds on the run {first}, which must be there before others start: {say}")
    built, chosen = chosen_launcher(name, settings, config_dir, packages)
    with hydra_session(config_dir):
        plan = plan_of([_overrides(item.cell, seed, outputs) for item, seed in missing], packages)
    command = shlex.join(["sciml", "table", table.name, "--budget", budget, "--launcher", name])
    code = carry_out(plan, command, built, name, chosen, packages)
    if not built.waits:
        screen.note("the same command prints the table when they are done, and submits what is missing then")
    return code, not built.waits


def _needs(missing: Iterable[tuple[Planned, int]]) -> Iterator[tuple[str, int]]:
    """Experiments and seeds of the runs that these build on."""
    return ((name, seed) for item, seed in missing for name in item.needs)


def _all(jobs: Sequence[Job], launcher: Local) -> tuple[int | None, bool]:
    """The signal that ended them early, if one did, and whether one failed; both are told."""
    from .cells import run_all

    number = run_all(jobs, launcher)
    if number is not None:
        screen.note("stopped; the same command goes on from here")
        return number, False
    failed = [job for job in jobs if job.state == "failed"]
    for job in failed:
        screen.error(f"{job.label} failed: {job.error}\nits output: {job.folder.path / 'run.log'}")
    return None, bool(failed)


def _job(table: Table, item: Planned, seed: int, outputs: str, config_dir: str | None) -> Job:
    from .cells import Job

    folder = item.folders[seed]
    return Job(
        command=[
            sys.executable,
            "-m",
            "sciml.cli",
            "train",
            *(["--config-dir", config_dir] if config_dir else []),
            "--",  # what follows is never an option, whatever a table file holds
            *_overrides(item.cell, seed, outputs),
        ],
        log=folder.path / "run.log",
        label=_label(table, item.cell, seed),
        folder=folder,
        threads=item.threads,
        steps=item.steps,
        describe=_describe(table, item.cell, folder),
    )


def _label(table: Table, cell: Cell, seed: int) -> str:
    column = f" [{cell.column.name}]" if len(table.columns) > 1 else ""
    return f"{cell.row.name}{column} seed {seed}"


def _overrides(cell: Cell, seed: int, outputs: str) -> list[str]:
    return [f"+experiment={cell.experiment}", *cell.overrides, f"seed={seed}", f"outputs={quoted(outputs)}"]


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
