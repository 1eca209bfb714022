"""The journal of a search on disk: Optuna's lines, one JSON object each, whole or absent.

A process that is killed while it writes, or a full disk, leaves half a line, and the next line would be glued to it:
so whoever has the lock cuts it off first.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.errors import UsageError
from sciml.folder import disk_error

if TYPE_CHECKING:
    from optuna.storages.journal import JournalFileSymlinkLock


def journal_lock(path: Path) -> JournalFileSymlinkLock:
    """Optuna's lock around each line, which leaves a whole last line to whoever gets it."""
    from optuna.storages.journal import JournalFileSymlinkLock

    class Lock(JournalFileSymlinkLock):
        def acquire(self) -> bool:
            held = super().acquire()
            try:
                _cut_torn_line(path)
            except OSError:
                self.release()
                raise
            return held

    return Lock(str(path))


def _cut_torn_line(path: Path) -> None:
    if not path.exists() or not path.stat().st_size:
        return
    with open(path, "rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) == b"\n":
            return
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def check_journal(path: Path) -> None:
    """Read the whole journal.

    Raises:
        UsageError: A line is no record; the message names file and line.
    """
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict) or not isinstance(record.get("op_code"), int):
                raise damaged(path, f"line {number} is no record of Optuna's")


def damaged(path: Path, reason: str) -> UsageError:
    """What to do about a journal that cannot be read."""
    return UsageError(
        f"{path} is damaged: {' '.join(reason.split())};"
        " move it away and repeat the command: finished runs are found again"
    )


@contextmanager
def on_disk(path: Path) -> Iterator[None]:
    """What goes wrong with the files of a search, in one line.

    Raises:
        RunError: A file cannot be written.
        UsageError: The journal is damaged.
    """
    try:
        yield
    except OSError as error:
        raise disk_error(error, Path(error.filename or path)) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise damaged(path, str(error)) from error
