"""The workers of a search: in this process, side by side on this machine, or wherever a launcher sends them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sciml.errors import UsageError
from sciml.folder import write_atomically
from sciml.signals import StopSignal

from . import screen

if TYPE_CHECKING:
    from sciml.launcher.base import Launcher
    from sciml.search import Study

_SENT = "workers.json"


def run(study: Study, total: int, launcher: Launcher, jobs: int, packages: tuple[str, ...]) -> int | None:
    """Work until there are ``total`` trials.

    Args:
        study: Of the search.
        total: Trials in all.
        launcher: Where the workers run.
        jobs: How many of them; 0: what the launcher's settings say, or one.
        packages: Packages whose classes the runs may build.

    Returns:
        The exit code; None where workers that outlive this process are at it.

    Raises:
        Stopped: A signal; the runs are saved.
        UsageError: The search cannot go on as it was asked for, or the workers cannot be sent.
        RunError: The disk or the scheduler refuses, or no trial has any success.
    """
    from sciml.launcher.local import Local

    todo = total - sum(trial.state in ("done", "failed") for trial in study.trials())
    if todo <= 0:
        return 0
    launcher.check()
    width = min(jobs or getattr(launcher, "jobs", 0) or 1, todo)
    if isinstance(launcher, Local):
        return _alone(study, total, packages) if width == 1 else _together(study, total, width, packages)
    if launcher.waits:
        launcher.launch([_worker(study, total, packages, wait=True)] * width, study.folder, study.folder.name)
        return 0
    return _away(study, total, launcher, width, packages)


def _alone(study: Study, total: int, packages: tuple[str, ...]) -> int:
    from .search_watch import Lines
    from .search_worker import work

    console = screen.err()
    lines = Lines(study, total, console)
    with StopSignal() as stop:
        work(
            study,
            total,
            trust=packages,
            wait=True,
            stop=stop,
            console=console if console.is_terminal else None,
            heard=lines.update,
        )
    return 0


def _together(study: Study, total: int, width: int, packages: tuple[str, ...]) -> int:
    from sciml.launcher.local import Local, Process

    from .search_watch import watching

    threads = study.configs()[0].raw.get("threads")
    workers = [
        Process(
            command=_worker(study, total, packages, wait=True),
            log=study.folder / f"worker-{i}.log",
            threads=threads if isinstance(threads, int) else 1,
        )
        for i in range(width)
    ]
    with watching(study, total) as view:
        try:
            Local(jobs=width).run(workers, view)
        finally:
            view.update()
    for error in dict.fromkeys(worker.error for worker in workers if worker.state == "failed"):
        screen.error(f"a worker ended: {error}")
    return 0  # what counts is how many trials there are, not which worker made them


def _away(study: Study, total: int, launcher: Launcher, width: int, packages: tuple[str, ...]) -> None:
    file = study.folder / _SENT
    sent: list[dict[str, Any]] = json.loads(file.read_text()) if file.exists() else []
    if busy := _busy([one for s in sent if s["trials"] >= total for one in s["ids"]]):
        screen.note(f"its workers are queued or running: {', '.join(busy)}")
        return
    folder = study.folder.resolve()
    command = _worker(study, total, packages, wait=False)
    name = f"{folder.name}.{len(sent) + 1}"
    ids = launcher.launch([command] * width, folder, name)
    sent.append({"time": time.time(), "trials": total, "ids": ids})
    write_atomically(file, json.dumps(sent, indent=1) + "\n")
    workers = "1 worker" if width == 1 else f"{width} workers"
    screen.note(f"{workers} sent: {', '.join(ids)}; the same command shows how far they are")


def _busy(ids: Sequence[str]) -> list[str]:
    """Which of these jobs go on."""
    from sciml import scheduler

    try:
        return [job.id for job in scheduler.states(ids).values() if not job.over]
    except UsageError:  # not a cluster of SLURM's: nobody knows
        return []


def _worker(study: Study, total: int, packages: tuple[str, ...], *, wait: bool) -> list[str]:
    options = [*(["--wait"] if wait else []), *(f"--trust={name}" for name in packages)]
    module = "sciml.cli.search_worker"
    return [sys.executable, "-m", module, str(study.folder.resolve()), f"--trials={total}", *options]
