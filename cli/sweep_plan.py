"""What a sweep is going to do: its grid composed and checked, without what is there already. Writes nothing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.errors import ConfigError, UsageError

from . import screen

if TYPE_CHECKING:
    from sciml.folder import RunFolder
    from sciml.freezing import Draft


@dataclass
class Plan:
    """What a sweep is going to do.

    Args:
        outputs: Root of the run folders.
        jobs: How many the grid has.
        axes: What it varies.
        todo: The runs to do.
        found: How many have a row.
        live: How many are queued or running.
        twice: How many are the same run as another.
        damaged: Rows that cannot be read; their runs are among those to do.
        changed: A line for each data file that is not what it was when a run that is found read it.
    """

    outputs: Path
    jobs: int
    axes: dict[str, list[str]]
    todo: list[Draft] = field(default_factory=list)
    found: int = 0
    live: int = 0
    twice: int = 0
    damaged: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def planned(
    overrides: Sequence[str], config_dir: str | None, trust: tuple[str, ...], outputs: str, *, force: bool = False
) -> Plan:
    """Compose and check every job of a grid, and see what is there already. Writes nothing.

    Raises:
        UsageError: A job cannot be made; the message names it.
        HydraException: The grid, or a job, does not compose.
    """
    from .expand import expand
    from .jobs import shadowed
    from .launch import _refuse_options
    from .origin import hydra_session
    from .request import quoted

    _refuse_options(overrides)
    _refuse(overrides)
    if not any(o.lstrip("+").startswith("outputs=") for o in overrides):
        overrides = [*overrides, f"outputs={quoted(outputs)}"]
    for warning in shadowed(config_dir) if config_dir else ():
        screen.note(warning)
    with hydra_session(config_dir):
        return plan_of(expand(overrides), trust, force=force)


def plan_of(jobs: Sequence[Sequence[str]], trust: tuple[str, ...], *, force: bool = False) -> Plan:
    """The same for jobs. Needs a Hydra session.

    Raises:
        UsageError: A job cannot be made; the message names it.
        HydraException: A job does not compose.
    """
    from sciml.datafile import changed

    from .expand import axes

    if not jobs:
        raise UsageError("this sweep is empty: one of its overrides has no values")
    drafts = composed(jobs, trust)
    roots = {str(draft.tree["outputs"]) for draft in drafts}
    if len(roots) > 1:
        raise UsageError(f"a sweep has one folder of outputs, not {len(roots)}: {', '.join(sorted(roots))}")
    plan = Plan(Path(roots.pop()), len(jobs), axes(jobs))
    different = {draft.folder.path: draft for draft in reversed(drafts)}  # of two the first stays
    plan.twice = len(drafts) - len(different)
    waiting, found = [], []
    for draft in reversed(different.values()):
        try:
            row = draft.folder.read_row()
        except UsageError as error:
            plan.damaged.append(str(error))
            row = None
        if row is not None and not force:
            found.append(row)
        else:
            waiting.append(draft)
    plan.found, plan.changed = len(found), changed(found)
    busy = _live([draft.folder for draft in waiting], plan.outputs)
    plan.live = len(busy)
    plan.todo = [draft for draft in waiting if draft.folder.path not in busy]
    return plan


def composed(jobs: Sequence[Sequence[str]], trust: tuple[str, ...]) -> list[Draft]:
    """Compose and check jobs. Needs a Hydra session.

    Raises:
        ConfigError: A job's config has a mistake or is not trusted; the message names the job.
        HydraException: A job does not compose.
    """
    from sciml.config import check
    from sciml.freezing import Draft

    from .expand import Composer, common_to
    from .origin import place_of
    from .request import chosen, experiment_of, plain

    composer, common, drafts = Composer(), common_to(jobs), []
    for job in jobs:
        label = " ".join(override for override in job if override not in common) if len(jobs) > 1 else ""
        cfg, choices = composer(job)
        origin = place_of(job)
        try:
            tree, raw = plain(cfg, origin)
            check(tree, raw, trust=trust, origin=origin)
        except UsageError as error:
            raise ConfigError(f"job {label}: {error}" if label else str(error)) from error
        mine = chosen(choices)
        command = shlex.join(["sciml", "train", *job])
        drafts.append(Draft(tree, experiment_of(mine, tree), mine, label or f"seed={tree['seed']}", command))
    return drafts


def _refuse(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if key.startswith(("hydra/", "hydra.")):
            how = "say --launcher NAME" if "launcher" in key else "sciml train -m takes Hydra's settings"
            raise UsageError(f"{override}: a sweep does not run through Hydra; {how}")
        if key == "launcher":
            raise UsageError(f"{override}: say --launcher {override.partition('=')[2] or 'NAME'}")


def _live(folders: Iterable[RunFolder], outputs: Path) -> set[Path]:
    """Those of these runs that are queued or running."""
    from sciml import sweep as sweeps
    from sciml.attendance import owned
    from sciml.standing import ALIVE, ask, standing

    busy: set[Path] = set()
    submitted: dict[str, list[RunFolder]] = {}
    for folder in folders:
        status = folder.read_status()
        if status.get("state") == "running" and owned(folder):
            busy.add(folder.path)
        elif isinstance(name := status.get("sweep"), str) and status.get("state") != "done":
            submitted.setdefault(name, []).append(folder)
    found = {}
    for name in submitted:
        try:
            found[name] = sweeps.read(outputs / sweeps.FOLDER / name)
        except UsageError:
            continue  # it was deleted: nothing says that anybody is going to do its runs
    answer = ask(found.values())
    if answer.silence:
        screen.note(f"{answer.silence}; what was submitted is taken to be queued")
    for name, sweep in found.items():
        mine = {sweep.folder(run).path: run for run in sweep.runs}
        for folder in submitted[name]:
            run = mine.get(folder.path)
            if run is not None and standing(sweep, run, answer).state in ALIVE:
                busy.add(folder.path)
    return busy
