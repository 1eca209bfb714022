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
from typing import IO, Any

from sciml.errors import RunError
from sciml.folder import RunFolder
from sciml.signals import SIGNALS

from . import screen

POLL = 0.1  # seconds between two looks at the processes
PLAIN_EVERY = 20.0  # seconds between two progress lines where there is no terminal
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
        self.error = _error_line(self.folder, self.log_start, code)
        self.state = "stopped" if stopping else "waiting" if _OWNED in self.error else "failed"
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
    with _signals() as noted, _display(jobs, width) as display:
        forwarded = 0
        try:
            while True:
                for number in noted[forwarded:]:
                    _forward(jobs, number)
                    forwarded += 1
                _reap(jobs, display, stopping=bool(noted))
                if not noted:
                    _fill(jobs, width, display)
                busy = any(job.process for job in jobs)
                if not busy and (noted or all(job.state in ("done", "failed") for job in jobs)):
                    return noted[0] if noted else None
                display.tick()
                time.sleep(POLL)
        finally:
            _stop(jobs)


def _fill(jobs: Sequence[Job], width: int, display: _Display) -> None:
    for job in jobs:
        if sum(j.process is not None for j in jobs) >= width:
            return
        if job.state == "waiting" and job.folder.row.exists():
            job.state = "done"
            display.ended(job)
        elif job.state == "queued" or (job.state == "waiting" and time.monotonic() >= job.again):
            try:
                job.start()
                display.started(job)
            except (RunError, OSError) as error:
                job.state, job.error = "failed", str(error)
                display.ended(job)


def _reap(jobs: Sequence[Job], display: _Display, *, stopping: bool) -> None:
    for job in jobs:
        if job.process is not None and (code := job.process.poll()) is not None:
            job.end(code, stopping=stopping)
            display.ended(job)


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


@contextmanager
def _display(jobs: Sequence[Job], width: int) -> Iterator[_Display]:
    console = screen.err()
    display = _Live(jobs, width, console) if console.is_terminal else _Display(jobs, width, console)
    try:
        yield display
    finally:
        display.close()


class _Display:
    """Plain lines: one when a run starts, one when it ends, one now and then between."""

    def __init__(self, jobs: Sequence[Job], width: int, console: Any) -> None:
        self.jobs, self.width, self.console = jobs, width, console
        self._line = time.monotonic()

    def started(self, job: Job) -> None:
        """A run has started."""
        self.say(f"start  {job.label}")

    def ended(self, job: Job) -> None:
        """A run has ended."""
        if job.state == "done":
            self.say(f"done   {job.label}: {job.describe()} ({job.seconds:.0f} s)")
        elif job.state == "waiting":
            self.say(f"wait   {job.label}: {job.error}")
        else:
            self.say(f"{job.state:6} {job.label}: {job.error}")

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False, soft_wrap=True)

    def tick(self) -> None:
        """Called ten times a second."""
        if time.monotonic() - self._line >= PLAIN_EVERY:
            self._line = time.monotonic()
            running = [f"{job.label} {_progress(job)}".rstrip() for job in self.jobs if job.state == "running"]
            self.say(f"       {', '.join([*running, self.summary()])}")

    def summary(self) -> str:
        """How far all of it is, and how long it may take."""
        done = [job for job in self.jobs if job.state in ("done", "failed")]
        text = f"{len(done)} of {len(self.jobs)} runs done"
        timed = [job.seconds for job in done if job.seconds]
        if timed and len(done) < len(self.jobs):
            each = sum(timed) / len(timed)
            spent = sum(min(time.monotonic() - job.since, each) for job in self.jobs if job.state == "running")
            left = ((len(self.jobs) - len(done)) * each - spent) / self.width
            text += f", about {left:.0f} s left" if left < 120 else f", about {left / 60:.0f} min left"
        return text

    def close(self) -> None:
        """Give the terminal back."""


class _Live(_Display):
    """The running cells, redrawn in place."""

    def __init__(self, jobs: Sequence[Job], width: int, console: Any) -> None:
        from rich.live import Live

        super().__init__(jobs, width, console)
        # No thread of rich's own: processes are started from this one.
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn = 0.0

    def tick(self) -> None:
        """Redraw, twice a second."""
        if time.monotonic() - self._drawn < 0.5:
            return
        from rich.markup import escape
        from rich.table import Table

        self._drawn = time.monotonic()
        grid = Table.grid(padding=(0, 2))
        for job in (job for job in self.jobs if job.state in ("running", "waiting")):
            seconds = f"{time.monotonic() - job.since:.0f} s" if job.state == "running" else ""
            grid.add_row(f"[bold]{escape(job.label)}[/]", job.state, _progress(job), f"[dim]{seconds}[/]")
        grid.add_row(f"[dim]{self.summary()}[/]")
        self._live.update(grid, refresh=True)

    def close(self) -> None:
        """Stop drawing."""
        self._live.stop()


def _progress(job: Job) -> str:
    if job.state == "waiting":
        return job.error
    return f"step {job.step}/{job.steps}" if job.steps else ""
