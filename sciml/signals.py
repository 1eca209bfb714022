"""Stopping a run from outside so that nothing is lost.

SIGINT (Ctrl-C), SIGTERM and SIGUSR2 (a scheduler's notice) set a flag; the loop ends after the step
in progress, the checkpoint is saved, and the process ends with the code that tells why. A second
Ctrl-C does not wait. Nor does the first in a test, of which nothing is kept unless it ends.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any

from sciml.errors import Stopped

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
# Before a command line: a notice that comes before Python has set its handlers does not end the process.
SHIELDED = ("bash", "-c", 'trap "" USR2; exec "$@"', "-")
REQUEUE = 75  # EX_TEMPFAIL: not failed, wants to run again


def exit_code(signum: int) -> int:
    """Exit code of a run that a signal stopped: 130, 143, or 75 for a scheduler that shall requeue it."""
    return REQUEUE if signum == signal.SIGUSR2 else 128 + signum


def shield() -> None:
    """In a job of SLURM's, have a notice that comes while nothing is there to be saved not end this process.

    To be called before imports that take long; the run that follows watches for itself.
    """
    if "SLURM_JOB_ID" in os.environ and signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)


class StopSignal:
    """Context in which the signals above only set ``signum``, and call ``act`` if it is set."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.act: Callable[[], None] | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.getsignal(s) for s in SIGNALS}
            self.watch()
        return self

    def watch(self) -> None:
        """Set the handlers, again if somebody else has set others since."""
        if self._before:
            for number in SIGNALS:
                signal.signal(number, self.note)

    def earlier(self, number: signal.Signals) -> Callable[[int, Any], Any] | None:
        """The handler that somebody else had installed in Python before; None if nobody did."""
        handler = self._before.get(number)
        return handler if callable(handler) and handler is not signal.default_int_handler else None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None: the handler was not set from Python, and so cannot be put back from here.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def note(self, signum: int, frame: FrameType | None = None) -> None:
        """The handler."""
        if self.signum == signal.SIGINT == signum:
            raise KeyboardInterrupt
        if self.signum != signal.SIGUSR2:  # the notice stays one when its time is up while the run still saves
            self.signum = signum
        if self.act is not None:
            self.act()

    @contextmanager
    def at_once(self, folder: str) -> Iterator[None]:
        """End the block at the first signal, for work of which nothing would be kept.

        Args:
            folder: Of the run, for the message.

        Raises:
            Stopped: A signal came, now or before.
        """

        def end() -> None:
            if self.signum is not None:
                raise Stopped(self.signum, folder)

        before, self.act = self.act, end
        try:
            end()
            yield
        finally:
            self.act = before


@contextmanager
def interruptible() -> Iterator[None]:
    """A Ctrl-C that does not wait stays one: Lightning's Trainer ends on it with SystemExit."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error


_HEEDED: ContextVar[tuple[StopSignal, str] | None] = ContextVar("heeded", default=None)


@contextmanager
def heeding(stop: StopSignal, folder: str) -> Iterator[None]:
    """Let :func:`heed` know of the run in progress while the block runs."""
    token = _HEEDED.set((stop, folder))
    try:
        yield
    finally:
        _HEEDED.reset(token)


def heed() -> None:
    """For work before a run's first step that takes long and is kept: end it here if the run was asked to stop.

    Raises:
        Stopped: It was.
    """
    if (run := _HEEDED.get()) and run[0].signum is not None:
        raise Stopped(run[0].signum, run[1])
