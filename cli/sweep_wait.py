"""Runs of a sweep that end with the process that started them: done side by side, and watched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import Stopped, UsageError

from . import screen

if TYPE_CHECKING:
    from sciml.launcher.base import Launcher
    from sciml.launcher.local import Local
    from sciml.sweep import Run, Sweep


def see_through(sweep: Sweep, runs: Sequence[Run], launcher: Launcher, name: str, settings: dict[str, Any]) -> int:
    """Do runs with a launcher that waits for them; a line for each that ends, and the sweep at the end.

    Args:
        sweep: Their sweep.
        runs: Those to do.
        launcher: Who does it.
        name: The launcher's name.
        settings: The launcher's settings, for the record.

    Returns:
        The exit code.
    """
    from sciml.attendance import attending
    from sciml.launcher.joblib import Joblib
    from sciml.launcher.local import Local
    from sciml.signals import exit_code
    from sciml.sweep import Task, command_of, record

    from .status import commands, print_sweep

    title = f"{sweep.name}.{len(sweep.submissions) + 1}"
    local = isinstance(launcher, Local)
    logs = [_run_log(sweep, run) if local else launcher.log(Path(), title, i) for i, run in enumerate(runs)]
    tasks = [Task((run.index,), "", log.as_posix()) for run, log in zip(runs, logs, strict=True)]
    number: int | None = None
    with attending(sweep):
        sweep = record(sweep, launcher, name, settings, tasks)
        lines = [command_of(sweep, [run]) for run in runs]
        if isinstance(launcher, Local):
            number = _side_by_side(sweep, runs, launcher, lines)
        else:
            if isinstance(launcher, Joblib):
                launcher.ended = _teller(sweep, runs)
            try:
                launcher.launch(lines, sweep.path.resolve(), title)
            except Stopped as stopped:
                number = stopped.signum
    code = print_sweep(sweep)
    if number is not None:
        screen.note(f"stopped; go on with: {commands(sweep)['resume']}")
        return exit_code(number)
    return code


def _run_log(sweep: Sweep, run: Run) -> Path:
    return Path("..", "..", run.folder, "run.log")


def _side_by_side(sweep: Sweep, runs: Sequence[Run], launcher: Local, commands: Sequence[Sequence[str]]) -> int | None:
    from .cells import Job, run_all

    jobs = [
        Job(
            command=command,
            log=sweep.folder(run).path / "run.log",
            threads=run.threads,
            label=run.label,
            folder=sweep.folder(run),
            steps=run.steps,
            describe=_describe(sweep, run),
        )
        for run, command in zip(runs, commands, strict=True)
    ]
    return run_all(jobs, launcher)


def _describe(sweep: Sweep, run: Run) -> Callable[[], str]:
    def describe() -> str:
        try:
            row = sweep.folder(run).read_row()
        except UsageError as error:
            return str(error)
        return screen.metrics(row["metrics"]) if row is not None else "no row"

    return describe


def _teller(sweep: Sweep, runs: Sequence[Run]) -> Callable[[int, int], None]:
    """A line for each run that ends."""
    over: list[int] = []

    def tell(index: int, code: int) -> None:
        over.append(index)
        run = runs[index]
        if code == 0:
            said = f"done   {run.label}: {_describe(sweep, run)()}"
        else:
            state = sweep.folder(run).read_status()
            said = f"{state.get('state', 'failed'):6} {run.label}: {state.get('error') or f'exit code {code}'}"
        screen.note(f"{said} ({len(over)} of {len(runs)})")

    return tell
