"""Commands side by side on this machine, each a child of this process.

A command leads its own process group, so that a Ctrl-C reaches it once, from here, and it asks the kernel
to be told when this process dies, so that none goes on unseen. What a signal asks of this process is passed
on: every command is given the time to save what it has.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from sciml.errors import RunError, Stopped
from sciml.folder import disk_error
from sciml.launcher.base import Launcher
from sciml.ranges import Natural
from sciml.signals import SIGNALS

POLL = 0.1  # seconds between two looks at the processes


@dataclass(kw_only=True)
class Process:
    """One command, its output in a file.

    Args:
        command: The command line.
        log: Its output is added to this file.
        threads: CPU threads that it may use; None leaves that to the environment.
    """

    command: Sequence[str]
    log: Path
    threads: int | None = None
    state: str = field(default="queued", init=False)  # queued, running, waiting, done, failed, stopped
    error: str = field(default="", init=False)
    since: float = field(default=0.0, init=False)
    seconds: float = field(default=0.0, init=False)
    again: float = field(default=0.0, init=False)  # when one that waits is tried anew
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    log_start: int = field(default=0, init=False)

    def start(self) -> None:
        """Start it.

        Raises:
            RunError: Its output cannot be written.
        """
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        try:
            log = open(self.log, "ab")  # noqa: SIM115 - closed below
        except OSError as error:
            raise disk_error(error, self.log) from error
        with log:
            log.seek(0, os.SEEK_END)
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **threads},
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self.state, self.since = "running", time.monotonic()

    def end(self, code: int, *, stopping: bool) -> None:
        """Note how it ended."""
        self.seconds, self.process = time.monotonic() - self.since, None
        self.state = "done" if code == 0 else "stopped" if stopping else "failed"
        self.error = "" if code == 0 else error_line(self.log, self.log_start, code)

    def settled(self) -> bool:
        """Whether one that waits need not be run any more."""
        return False


class View:
    """Hears how commands go; this one keeps silent."""

    def started(self, job: Any) -> None:
        """A command has started."""

    def ended(self, job: Any) -> None:
        """A command has ended."""

    def tick(self) -> None:
        """Called ten times a second."""


class Local(Launcher):
    """Children of this process; nothing outlives it.

    Args:
        jobs: How many at a time; 0: one per core that their threads leave.
    """

    waits: ClassVar[bool] = True

    def __init__(self, *, jobs: Natural = 0) -> None:
        self.jobs = jobs

    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        self.run([Process(command=c, log=self.log(folder, name, i)) for i, c in enumerate(commands)], View())
        return [""] * len(commands)

    def width(self, processes: Sequence[Process]) -> int:
        """How many of these run at a time."""
        most = max((process.threads or 1 for process in processes), default=1)
        return max(1, min(self.jobs or cores() // most, len(processes)))

    def run(self, processes: Sequence[Process], view: View) -> None:
        """Run commands in their order.

        Raises:
            Stopped: A signal ended it early.
            Exception: What ``view`` raises; the commands that run are stopped first.
        """
        width = self.width(processes)
        with noting() as noted:
            forwarded = 0
            try:
                while True:
                    for number in noted[forwarded:]:
                        _forward(processes, number)
                        forwarded += 1
                    _reap(processes, view, stopping=bool(noted))
                    if not noted:
                        _fill(processes, width, view)
                    busy = any(process.process for process in processes)
                    if not busy and (noted or all(process.state in ("done", "failed") for process in processes)):
                        break
                    view.tick()
                    time.sleep(POLL)
            finally:
                _stop(processes)
        if noted:
            raise Stopped(noted[0], "")


def _fill(processes: Sequence[Process], width: int, view: View) -> None:
    for process in processes:
        if sum(p.process is not None for p in processes) >= width:
            return
        if process.state == "waiting" and process.settled():
            process.state = "done"
            view.ended(process)
        elif process.state == "queued" or (process.state == "waiting" and time.monotonic() >= process.again):
            try:
                process.start()
                view.started(process)
            except (RunError, OSError) as error:
                process.state, process.error = "failed", str(error)
                view.ended(process)


def _reap(processes: Sequence[Process], view: View, *, stopping: bool) -> None:
    for process in processes:
        if process.process is not None and (code := process.process.poll()) is not None:
            process.end(code, stopping=stopping)
            view.ended(process)


def _forward(processes: Sequence[Process], number: int) -> None:
    for process in processes:
        if process.process is not None and process.process.poll() is None:
            process.process.send_signal(passed_on(number))


def _stop(processes: Sequence[Process]) -> None:
    """Whatever happened here, no command is left behind."""
    _forward(processes, signal.SIGTERM)
    for process in processes:
        if process.process is not None:
            process.process.wait()


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def passed_on(number: int) -> int:
    """The signal to send on: a run does not know a lost terminal; it would die of it without saving."""
    return signal.SIGTERM if number == signal.SIGHUP else number


@contextmanager
def noting() -> Iterator[list[int]]:
    """Collect the signals that ask this process to stop, instead of obeying them."""
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    before = {number: signal.signal(number, note) for number in (*SIGNALS, signal.SIGHUP)}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def die_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent dies; elsewhere than on Linux there is no such thing."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def error_line(log: Path, start: int, code: int) -> str:
    """Why a command failed: its last ``error:`` line, or how it ended.

    Args:
        log: Its output.
        start: Where in it this attempt begins, in bytes.
        code: Exit code, negative for a signal.
    """
    if said := said_in(log, start):
        return said
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}; see {log}"


def said_in(log: Path, start: int = 0) -> str:
    """The last ``error:`` line of a file, without that word; empty if there is none."""
    try:
        with open(log, "rb") as file:
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.removeprefix("error:").strip() for line in reversed(lines) if line.startswith("error:")), "")
