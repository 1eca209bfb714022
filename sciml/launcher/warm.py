"""Commands in processes that have imported the libraries already.

The imports of a run take seconds. A process that makes them once and then forks a child for each command
pays them once, and the children are still apart: one that is killed takes nothing with it. The parent
passes signals on, as :mod:`sciml.launcher.local` does.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from sciml.folder import disk_error
from sciml.imports import load
from sciml.launcher.local import die_with_parent, passed_on

HEAVY = ("sciml.run", "sciml.cli.runs")  # what every command of ours imports sooner or later
POLL = 0.02  # seconds between two looks at a child
_HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)


def warm_up(modules: Sequence[str] = HEAVY) -> None:
    """Import what takes long. Nothing is computed: a child of a process with busy threads could hang."""
    load(modules)


def call(command: Sequence[str]) -> int:
    """Run ``[python, "-m", module, *arguments]`` in this process.

    Returns:
        The exit code that it would have had as a process of its own.

    Raises:
        ValueError: The command has another form.
    """
    if list(command[1:2]) != ["-m"] or len(command) < 3:
        raise ValueError(f"not a module of Python: {' '.join(command)}")
    before = sys.argv
    sys.argv = list(command[2:])
    try:
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = before
    return 0


def in_child(work: Callable[[], int], noted: Sequence[int], log: Path | None = None) -> int:
    """Do ``work`` in a forked child, and wait for it.

    Args:
        work: Returns an exit code.
        noted: Grows by each signal that this process gets; it is passed on to the child.
        log: The child's output is added to this file; None: it is that of this process.

    Returns:
        The exit code; negative for the signal that ended the child.

    Raises:
        RunError: The output cannot be written.
    """
    try:
        output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666) if log else None
    except OSError as error:
        raise disk_error(error, log or Path()) from error
    sys.stdout.flush()
    sys.stderr.flush()
    forwarded = len(noted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a process with threads that forks: see warm_up
        pid = os.fork()
    if pid == 0:
        _be_child(work, output)
    if output is not None:
        os.close(output)
    # Not a wait that blocks: a signal that comes just before it would be seen only at the child's end.
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        for number in noted[forwarded:]:
            os.kill(pid, passed_on(number))
            forwarded += 1
        time.sleep(POLL)
    return os.waitstatus_to_exitcode(ended[1])


def _be_child(work: Callable[[], int], output: int | None) -> None:
    code = 1
    try:
        os.setsid()
        die_with_parent()
        for number in _HANDLED:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        if output is not None:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
        code = work()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing of the parent's may go on in the child
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
