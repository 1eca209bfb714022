"""The user's data files that a run reads: its row says what was in them.

A run is identified by its config, which has the path of a file and not what is in it. So a finished run is found again
whatever its files hold by now, and its row has, of each of them,

=============  ======================================================================================
``size``       in bytes
``modified``   the time of the last change, in seconds since 1970
``sha256``     of the whole file; ``sha256_of_pieces``, of many pieces spread evenly, for one above 1 GiB
=============  ======================================================================================

Whoever takes the row instead of a new run says which of them have changed (:func:`changed`). A file with the same size
and time of change is taken to be the same, without reading it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import Any

from sciml.data import cache
from sciml.stage import stage

log = logging.getLogger("sciml")
PIECE = 2**20  # bytes that are read at once
PIECES = 2**10  # as many are read of a file that has more

Record = dict[str, Any]


class Readings:
    """What was read so far.

    Args:
        before: Records of an interrupted run that this one goes on with, by path.
        tell: Called with all records when there is a new one.

    Attributes:
        files: A record of each file, by its path as the config has it.
        warnings: Files that the interrupted run has read with other contents.
    """

    def __init__(self, before: Mapping[str, Record], tell: Callable[[dict[str, Record]], None]) -> None:
        self._before, self._tell = before, tell
        self.files: dict[str, Record] = {}
        self.warnings: list[str] = []

    def add(self, path: Path) -> None:
        """Record a file, if it is there and the program has not made it itself."""
        name, own = str(path), cache.folder()
        if name in self.files or (own is not None and own.resolve() in path.resolve().parents):
            return
        record = record_of(path)
        if record is None:
            return  # whoever reads it says what is wrong
        self.files[name] = record
        if name in self._before and not _same(self._before[name], record):
            self.warnings.append(f"{name} was changed while this run was interrupted: it was begun with other data")
            log.warning("%s", self.warnings[-1])
        self._tell(self.files)


_NOW: ContextVar[Readings | None] = ContextVar("readings", default=None)


@contextmanager
def recording(before: Any, tell: Callable[[dict[str, Record]], None]) -> Iterator[Readings]:
    """Have files recorded while the block runs; see :class:`Readings`."""
    readings = Readings(before if isinstance(before, Mapping) else {}, tell)
    token = _NOW.set(readings)
    try:
        yield readings
    finally:
        _NOW.reset(token)


def reading(path: Path | str) -> None:
    """Say that a data file is about to be read. Whatever opens files that a config names calls this."""
    if (readings := _NOW.get()) is not None:
        readings.add(Path(path))


def changed(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each file that has changed since runs have read it. One that is gone cannot be compared.

    Args:
        rows: Of finished runs.
    """
    runs: dict[str, list[str]] = {}
    for row in rows:
        files = row.get("files")
        for path, record in files.items() if isinstance(files, Mapping) else ():
            if not _holds(Path(path), record):
                runs.setdefault(path, []).append(f"{row['experiment']}/{row['hash']}-seed{row['seed']}")
    lines = []
    for path, names in runs.items():
        who, what = (names[0], "its row is") if len(names) == 1 else (f"{len(names)} finished runs", "their rows are")
        lines.append(f"{path} has changed since {who} read it: {what} of what it held then (--force repeats a run)")
    return lines


def warn(*rows: Mapping[str, Any]) -> None:
    """Log what :func:`changed` says."""
    for line in changed(rows):
        log.warning("%s", line)


def described(row: Mapping[str, Any]) -> dict[str, str]:
    """For people: size and checksum of the files that a run has read, by path."""
    files = row.get("files")
    found = {}
    for path, record in files.items() if isinstance(files, Mapping) else ():
        if isinstance(record, Mapping):
            checksums = [f"{key.replace('_', ' ')} {record[key]}" for key in record if key.startswith("sha256")]
            found[path] = ", ".join([f"{record.get('size')} bytes", *checksums])
    return found


def record_of(path: Path) -> Record | None:
    """What is filed of a file; None if it cannot be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            return None
        name, checksum = _checksum(os.path.abspath(path), found.st_size, found.st_mtime_ns)
    except OSError:
        return None
    return {"size": found.st_size, "modified": found.st_mtime, name: checksum}


def _holds(path: Path, record: Any) -> bool:
    """Whether a file is, as far as can be said, what the record says."""
    try:
        found = os.stat(path)
    except OSError:
        return True
    if not isinstance(record, Mapping):
        return True
    if found.st_size == record.get("size") and found.st_mtime == record.get("modified"):
        return True
    now = record_of(path)
    return now is None or _same(record, now)


def _same(record: Any, other: Record) -> bool:
    return isinstance(record, Mapping) and all(record.get(key) == other[key] for key in other if key != "modified")


@lru_cache(maxsize=1024)
def _checksum(path: str, size: int, modified: int) -> tuple[str, str]:
    """Name and value of the checksum; once a process for each state of a file."""
    total, every = hashlib.sha256(), size <= PIECE * PIECES
    with open(path, "rb") as file, stage(f"checksum of {path}"):
        if every:
            while piece := file.read(PIECE):
                total.update(piece)
        else:
            for i in range(PIECES):
                file.seek((size - PIECE) * i // (PIECES - 1))  # the first begins the file, the last ends it
                total.update(file.read(PIECE))
    return "sha256" if every else "sha256_of_pieces", total.hexdigest()
