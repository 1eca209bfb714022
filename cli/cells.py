"""Run the missing cells of a table side by side, each in a process of its own, and show how they go.

A run is ``python -m sciml.cli train ...`` with its output in ``<run folder>/run.log``. It leads its own
process group, so that a Ctrl-C reaches it once, from here, and it asks the kernel to be told when this
process dies, so that none goes on unseen. A run that another process owns is waited for, not failed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import IO

from sciml.errors import RunError
from sciml.folder import RunFolder
from sciml.signals import SIGNALS

from .watch import Display, display

POLL = 0.1  # seconds between two looks at the processes
RETRY = 15.0  # seconds until a run that another process owned is tried again
_OWNED = "is in use by"


@dataclass
class Job:
    """One run of a table.

    Args:
        label: Method and seed.
        folder: Its run folder.
        arguments: What follows ``sciml train``.
        threads: CPU threads of the run.
        steps: Optimiser steps of the run; 0 if it does not train.
        describe: Says what was obtained, once there is a row.
    """

    label: str
    folder: RunFolder
    arguments: Sequence[str]
    threads: int
    steps: int
    describe: Callable[[], str]
    state: str = "queued"  # queued, running, waiting, done, failed, stopped
    error: str = ""
    since: float = 0.0
    seconds: float = 0.0
    again: float = 0.0
    process: subprocess.Popen[bytes] | None = None
    log_start: int = 0

    def start(self) -> None:
        """Start the process.

        Raises:
            RunError: The run folder cannot be written.
        """
        self.folder.create()
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        command = [sys.executable, "-m", "sciml.cli", "train", *self.arguments]
        with _log(self.folder) as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self.state, self.since = "running", time.monotonic()

    def end(self, code: int, *, stopping: bool) -> None:
        """Note how the process ended."""
        self.seconds, self.process = time.monotonic() - self.since, None
        if code == 0:
            self.state = "done"
            return
        if stopping:
            saved = self.folder.read_status().get("state") == "stopped"
            self.state = "stopped"
            self.error = f"saved at step {self.step}" if saved else "nothing saved since it started"
            return
        self.error = _error_line(self.folder, self.log_start, code)
        self.state = "waiting" if _OWNED in self.error else "failed"
        self.again = time.monotonic() + RETRY

    @property
    def step(self) -> int:
        """The step that the run filed last."""
        step = self.folder.read_status().get("step", 0)
        return step if isinstance(step, int) else 0


def run_all(jobs: Sequence[Job], width: int) -> int | None:
    """Run jobs in their order, ``width`` at a time.

    Returns:
        The signal that ended it early, if one did.

    Raises:
        UsageError: A row lacks the metric that is asked for; all other runs are stopped.
    """
    with _signals() as noted, display(jobs, width) as view:
        forwarded = 0
        try:
            while True:
                for number in noted[forwarded:]:
                    _forward(jobs, number)
                    forwarded += 1
                _reap(jobs, view, stopping=bool(noted))
                if not noted:
                    _fill(jobs, width, view)
                busy = any(job.process for job in jobs)
                if not busy and (noted or all(job.state in ("done", "failed") for job in jobs)):
                    return noted[0] if noted else None
                view.tick()
                time.sleep(POLL)
        finally:
            _stop(jobs)


def _fill(jobs: Sequence[Job], width: int, view: Display) -> None:
    for job in jobs:
        if sum(j.process is not None for j in jobs) >= width:
            return
        if job.state == "waiting" and job.folder.row.exists():
            job.state = "done"
            view.ended(job)
        elif job.state == "queued" or (job.state == "waiting" and time.monotonic() >= job.again):
            try:
                job.start()
                view.started(job)
            except (RunError, OSError) as error:
                job.state, job.error = "failed", str(error)
                view.ended(job)


def _reap(jobs: Sequence[Job], view: Display, *, stopping: bool) -> None:
    for job in jobs:
        if job.process is not None and (code := job.process.poll()) is not None:
            job.end(code, stopping=stopping)
            view.ended(job)


def _forward(jobs: Sequence[Job], number: int) -> None:
    for job in jobs:
        if job.process is not None and job.process.poll() is None:
            # A run does not know a lost terminal; it would die of it without saving.
            job.process.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)


def _stop(jobs: Sequence[Job]) -> None:
    """Whatever happened here, no run is left behind."""
    _forward(jobs, signal.SIGTERM)
    for job in jobs:
        if job.process is not None:
            job.process.wait()


@contextmanager
def _signals() -> Iterator[list[int]]:
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (*SIGNALS, signal.SIGHUP)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _die_with_parent() -> None:
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


@contextmanager
def _log(folder: RunFolder) -> Iterator[IO[bytes]]:
    with open(folder.path / "run.log", "ab") as log:
        log.seek(0, os.SEEK_END)
        yield log


def _error_line(folder: RunFolder, start: int, code: int) -> str:
    log = folder.path / "run.log"
    with open(log, "rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    said = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    if said:
        return said[-1]
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}; see {log}"
