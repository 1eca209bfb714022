"""Commands side by side on this machine, in joblib's workers, which import the libraries once.

What takes seconds at the start of a run is paid once a worker, so this is the launcher for many short runs.
A worker forks a child for each command: one that is killed, or runs out of memory, takes no other with it.
A worker does not hear a Ctrl-C; the process that made it does, and passes on that it shall stop.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from sciml.errors import RunError, Stopped, UsageError
from sciml.launcher.base import Launcher
from sciml.launcher.local import cores, noting
from sciml.launcher.warm import HEAVY, call, in_child, warm_up
from sciml.ranges import Natural

_noted: list[int] = []  # signals that this worker got


class Joblib(Launcher):
    """Warm workers of this process; nothing outlives it.

    Args:
        jobs: How many at a time; 0: one per core.

    Attributes:
        ended: Called with the number of a command and its exit code when it ends.
    """

    waits: ClassVar[bool] = True

    def __init__(self, *, jobs: Natural = 0) -> None:
        self.jobs = jobs
        self.ended: Callable[[int, int], None] = lambda index, code: None

    def check(self) -> None:
        _joblib()

    def width(self, commands: int) -> int:
        """How many of so many commands run at a time."""
        return min(self.jobs or cores(), commands)

    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        logs = [self.log(folder, name, i) for i in range(len(commands))]
        width = self.width(len(commands))
        with noting() as noted:
            if width == 1:  # joblib would do the work in this process, and so does this
                self._alone(commands, logs, noted)
            else:
                self._together(commands, logs, noted, width, folder / f".{name}.workers")
        if noted:
            raise Stopped(noted[0], str(folder))
        return [""] * len(commands)

    def _alone(self, commands: Sequence[Sequence[str]], logs: Sequence[Path], noted: Sequence[int]) -> None:
        warm_up(HEAVY)
        for index, (command, log) in enumerate(zip(commands, logs, strict=True)):
            if not noted:
                self.ended(index, in_child(partial(call, command), noted, log))

    def _together(
        self,
        commands: Sequence[Sequence[str]],
        logs: Sequence[Path],
        noted: Sequence[int],
        width: int,
        register: Path,
    ) -> None:
        joblib = _joblib()
        work = [
            joblib.delayed(_work)(i, list(command), log, register, HEAVY)
            for i, (command, log) in enumerate(zip(commands, logs, strict=True))
        ]
        pool = joblib.Parallel(n_jobs=width, backend="loky", batch_size=1, return_as="generator_unordered")
        with _passing_on(noted, register):
            try:
                for index, code, error in pool(work):
                    if error:
                        raise RunError(error)
                    if code is not None:
                        self.ended(index, code)
            except joblib.externals.loky.process_executor.BrokenProcessPool as error:
                if not noted:
                    raise RunError("a worker of joblib was killed, perhaps for its memory; try fewer jobs") from error


def _joblib() -> Any:
    try:
        import joblib
    except ImportError:
        raise UsageError('the launcher joblib needs a package that is missing: pip install "sciml[launch]"') from None
    return joblib


@contextmanager
def _passing_on(noted: Sequence[int], register: Path) -> Iterator[None]:
    """While the block runs, the workers hear of the signals that this process notes.

    From a thread, because the main one waits inside joblib.
    """
    over = threading.Event()

    def watch() -> None:
        passed: set[tuple[int, int]] = set()
        while not over.wait(0.1):
            # All of them to each worker, since one may come into being after a signal.
            for heard in set(itertools.product(range(len(noted)), _pids(register))) - passed:
                passed.add(heard)
                i, pid = heard
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGUSR2 if noted[i] == signal.SIGUSR2 else signal.SIGTERM)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        register.unlink(missing_ok=True)


def _pids(register: Path) -> set[int]:
    try:
        return {int(line) for line in register.read_text().split()}
    except FileNotFoundError:
        return set()


def _note(number: int, frame: FrameType | None) -> None:
    _noted.append(number)


def _work(
    index: int, command: list[str], log: Path, register: Path, heavy: Sequence[str]
) -> tuple[int, int | None, str]:
    """In a worker: one command in a child; nothing any more once a signal has come."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, _note)
    if os.getpid() not in _pids(register):
        _noted.clear()  # of an earlier call, which ended
        with open(register, "a") as file:
            file.write(f"{os.getpid()}\n")
    if _noted:
        return index, None, ""
    warm_up(heavy)
    try:
        return index, in_child(lambda: call(command), _noted, log), ""
    except RunError as error:
        return index, None, str(error)
