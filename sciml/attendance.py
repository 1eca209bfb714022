"""Which processes are at work on this machine: each holds a lock, which ends with it however it ends."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sciml.files import disk_error, exclusive
from sciml.folder import RunFolder
from sciml.sweep import Submission, Sweep


def living(sweep: Sweep, submission: Submission) -> bool:
    """Whether the process lives that made a submission and waits for it."""
    return _locked(_attendance(sweep, submission.pid), submission.pid, submission.host)


@contextmanager
def attending(sweep: Sweep) -> Iterator[None]:
    """While the block runs, this process sees to the runs of a sweep; the lock that says so ends with it."""
    path = _attendance(sweep, os.getpid())
    try:
        file = open(path, "w")  # noqa: SIM115 - held open for as long as the lock
    except OSError as error:
        raise disk_error(error, path) from error
    with file:
        exclusive(file, wait=True)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _attendance(sweep: Sweep, pid: int) -> Path:
    return sweep.path / f".launcher-{pid}"


def owned(folder: RunFolder) -> bool:
    """Whether a process works in a run folder; the lock is the process's own and ends with it."""
    lock = folder.path / ".lock"
    try:
        owner = re.match(r"process (\d+) on (\S+)", lock.read_text())
    except OSError:
        return False
    return _locked(lock, int(owner[1]), owner[2]) if owner else _locked(lock)


def _locked(file: Path, pid: int = 0, host: str = "") -> bool:
    here = host == socket.gethostname() and Path("/proc").is_dir()
    if here and not Path("/proc", str(pid)).exists():
        return False  # without a look at the lock, which could be in the way of a new process
    try:
        with open(file) as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:  # a file system without locks
        return here
    return False
