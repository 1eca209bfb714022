"""``sciml sweep``: expand a grid, leave out what is there, freeze the rest, and give it to a launcher."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import ConfigError, RunError, UsageError

from . import screen
from .sweep_plan import Plan, planned
from .sweep_wait import see_through

if TYPE_CHECKING:
    from sciml.launcher.base import Launcher
    from sciml.sweep import Run, Sweep

AGAIN = ("failed", "stopped", "cancelled", "lost", "missing")  # what --resume does again


def sweep(
    overrides: Sequence[str],
    *,
    launcher: str | None = None,
    array_parallel: int | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    resume: str | None = None,
    config_dir: str | None = None,
    trust: Sequence[str] = (),
    force: bool = False,
    outputs: str = "outputs",
) -> int:
    """Make a sweep, or go on with one; returns the exit code.

    Args:
        overrides: The grid, and settings of the launcher.
        launcher: Its name; None: ``local``, or the one that the sweep had before.
        array_parallel: How many tasks of an array run at a time.
        jobs: How many runs go on side by side on this machine.
        dry_run: Print the plan, and no more.
        resume: Do again what is not done in this sweep.
        config_dir: The user's folder of configs.
        trust: Packages whose classes the configs may build.
        force: Repeat finished runs.
        outputs: Root of the run folders.
    """
    from .explain import explain
    from .launch import trusted
    from .launchers import split
    from .origin import mistakes

    packages = trusted(trust)
    try:
        mine, theirs = split(overrides)
        theirs += [f"launcher.parallel={array_parallel}"] if array_parallel is not None else []
        theirs += [f"launcher.jobs={jobs}"] if jobs is not None else []
        if resume is not None:
            return _resume(resume, mine, launcher, theirs, config_dir, packages, outputs, dry_run=dry_run)
        return _new(mine, launcher or "local", theirs, config_dir, packages, outputs, dry_run=dry_run, force=force)
    except RunError as error:
        return screen.failed(error)
    except mistakes() as error:
        screen.error(explain(error, overrides, config_dir))
        return 2
    except KeyboardInterrupt:
        screen.error("interrupted; nothing was submitted")
        return 130


def _new(
    overrides: Sequence[str],
    name: str,
    settings: Sequence[str],
    config_dir: str | None,
    trust: tuple[str, ...],
    outputs: str,
    *,
    dry_run: bool,
    force: bool,
) -> int:
    built, chosen = chosen_launcher(name, settings, config_dir, trust)
    plan = planned(overrides, config_dir, trust, outputs, force=force)
    command = shlex.join(["sciml", "sweep", *overrides])
    return carry_out(plan, command, built, name, chosen, trust, dry_run=dry_run, force=force)


def carry_out(
    plan: Plan,
    command: str,
    launcher: Launcher,
    name: str,
    settings: dict[str, Any],
    trust: tuple[str, ...],
    *,
    dry_run: bool = False,
    force: bool = False,
) -> int:
    """Show a plan, freeze its runs and give them to a launcher; sees them through if it waits.

    Args:
        plan: What is to be done.
        command: The command line, for the record.
        launcher: Who does it.
        name: The launcher's name.
        settings: The launcher's settings.
        trust: Packages whose classes the configs may build.
        dry_run: Only show the plan.
        force: Repeat finished runs.

    Returns:
        The exit code.

    Raises:
        UsageError: The launcher cannot work here, or the scheduler refuses.
        RunError: The scheduler does not answer, or something cannot be written.
    """
    from sciml.freezing import freezing
    from sciml.provenance import commit

    _show(plan, name, launcher)
    if dry_run or not plan.todo:
        return 0
    launcher.check()
    if not launcher.waits:
        submitted(freeze_and_submit(plan, command, launcher, name, settings, trust, force=force))
        return 0
    with freezing() as made:
        sweep = made.freeze(plan.todo, plan.outputs, command, trust, commit(), force=force)
    return see_through(sweep, sweep.runs, launcher, name, settings)


def freeze_and_submit(
    plan: Plan,
    command: str,
    launcher: Launcher,
    name: str,
    settings: Mapping[str, Any],
    trust: tuple[str, ...],
    *,
    force: bool = False,
) -> Sweep:
    """File the runs of a plan and give them to a launcher that does not wait; if it refuses, nothing is left.

    Raises:
        UsageError: The scheduler refuses.
        RunError: It does not answer, or something cannot be written.
    """
    from sciml.freezing import freezing
    from sciml.provenance import commit
    from sciml.sweep import submit

    with freezing() as made:
        sweep = made.freeze(plan.todo, plan.outputs, command, trust, commit(), force=force)
        return submit(sweep, sweep.runs, launcher, name, settings)


def chosen_launcher(
    name: str,
    settings: Sequence[str],
    config_dir: str | None,
    trust: tuple[str, ...],
    before: Mapping[str, Any] | None = None,
) -> tuple[Launcher, dict[str, Any]]:
    """A launcher and its settings; what it lacks is named by the option that asks for it.

    Raises:
        UsageError: There is none of this name, or a setting is wrong.
    """
    from .launchers import find_launcher

    try:
        return find_launcher(name, settings, config_dir, trust, before)
    except ConfigError as error:
        for key, option in (("jobs", "--jobs"), ("parallel", "--array-parallel")):
            if f"there is no setting launcher.{key}" in str(error):
                raise UsageError(f"the launcher {name} has no {option}: there is no launcher.{key}") from error
        raise


def _resume(
    text: str,
    overrides: Sequence[str],
    name: str | None,
    settings: Sequence[str],
    config_dir: str | None,
    trust: tuple[str, ...],
    outputs: str,
    *,
    dry_run: bool,
) -> int:
    from sciml.standing import ask, counts, standings
    from sciml.sweep import find, submit

    if overrides:
        raise UsageError(f"--resume does again what was frozen: leave out {overrides[0]}")
    sweep = find(text, Path(outputs))
    sweep = replace(sweep, trust=tuple(dict.fromkeys([*sweep.trust, *trust])))
    answer = ask([sweep])
    if answer.silence:
        raise RunError(f"{answer.silence}; what runs is not known, so nothing is submitted")
    found = standings(sweep, answer)
    again = [one.run for one in found if one.state in AGAIN]
    last = sweep.submissions[-1] if sweep.submissions else None
    before = last.settings if last is not None and name in (None, last.launcher) else None
    name = name or (last.launcher if last is not None else "local")
    built, chosen = chosen_launcher(name, settings, config_dir, sweep.trust, before)
    said = ", ".join(f"{n} {state}" for state, n in counts(found).items())
    print(f"{sweep.name}: {said}; {len(again)} to do")
    if dry_run or not again:
        return 0
    built.check()
    before = {run.index: sweep.folder(run).read_status() for run in again}
    _queue_again(sweep, again)
    if built.waits:
        return see_through(sweep, again, built, name, chosen)
    try:
        sweep = submit(sweep, again, built, name, chosen)
    except BaseException:
        for run in again:
            sweep.folder(run).update_status(**{"error": None, **before[run.index]})
        raise
    submitted(sweep)
    return 0


def _queue_again(sweep: Sweep, runs: Sequence[Run]) -> None:
    from sciml.freezing import set_damaged_aside

    for run in runs:
        folder = sweep.folder(run)
        if set_damaged_aside(folder):
            screen.note(f"{folder.row} is damaged; it is kept as row.damaged.json")
        folder.update_status(state="queued", sweep=sweep.name, error=None)


def _show(plan: Plan, name: str, launcher: Launcher) -> None:
    """What is going to be done, in a few lines."""
    different = list(dict.fromkeys(draft.experiment for draft in plan.todo))
    parts = [
        f"{plan.found} found" if plan.found else "",
        f"{plan.live} queued or running" if plan.live else "",
        f"{plan.twice} twice" if plan.twice else "",
        f"{len(plan.todo)} to do",
    ]
    where = f" of {different[0]}" if len(different) == 1 else ""
    print(f"{_plural(plan.jobs, 'run')}{where}: {', '.join(filter(None, parts))}")
    width = max(map(len, plan.axes), default=0)
    for key, values in plan.axes.items():
        print(f"  {key:{width}}  {_listed(values)}")
    for message in plan.changed:
        screen.note(message)
    for message in plan.damaged:
        screen.note(f"to be made again: {message}; the file is kept as row.damaged.json")
    if plan.todo:
        tasks = -(-len(plan.todo) // launcher.runs_per_task)
        size = "" if launcher.waits else f", {_plural(tasks, 'task')}"
        print(f"launcher {name}{size}, run folders in {plan.outputs}/")


def _listed(values: Sequence[str], most: int = 8) -> str:
    if len(values) <= most:
        return ", ".join(values)
    return f"{', '.join(values[: most - 1])} ... {values[-1]} ({len(values)})"


def submitted(sweep: Sweep) -> None:
    """Say what was submitted, and what can be done with it."""
    from .status import commands

    ids = list(dict.fromkeys(task.id.partition("_")[0] for task in sweep.submissions[-1].tasks))
    print(f"submitted as {_plural(len(ids), 'array')} {', '.join(ids)}: {sweep.name}")
    for word, line in commands(sweep).items():
        print(f"  {word:7} {line}")


def _plural(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
