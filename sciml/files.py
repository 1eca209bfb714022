"""Files that several processes and machines see: replaced in one step, locked by their process, refused in one line.

A write goes to another name in the same folder, is brought to the disk, and takes the place of the old file by a
rename, which every file system does in one step. A lock belongs to a process and ends with it, never to the
existence of a file, which a dead process would leave behind.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from sciml.errors import RunError

log = logging.getLogger("sciml")
# What file systems answer that have no flock (Lustre mounted without it, some network and user-space ones), no links.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.EXDEV)


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[Path]:
    """Write to the yielded path; when the block is over it takes the place of ``path`` in one step.

    Args:
        path: The file; another process sees the old content or the new, also after a power cut.
        keep: Under this name the old content is kept.

    Raises:
        RunError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())  # a machine that goes down must not leave the new name on an empty file
        if keep is not None and path.exists():
            _second_name(path, keep)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):  # a folder that has become read-only has refused already
            temporary.unlink(missing_ok=True)  # still there only if the block failed


def _second_name(path: Path, name: Path) -> None:
    """Let ``name`` stand for the file at ``path`` too, which keeps its own name all the time: nothing is copied."""
    temporary = name.with_name(f".{name.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        os.link(path, temporary)
        os.replace(temporary, name)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        os.replace(path, name)  # for a moment there is only this one, which is as good to go on from


def sync_folder(path: Path) -> None:
    """Have the names in a folder survive a machine that goes down, where its file system can do that for folders."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise


def exclusive(file: IO[Any], *, wait: bool) -> bool:
    """Lock an open file for this process alone; the lock ends with the process, however that ends.

    Args:
        file: Open for writing.
        wait: Until whoever has the lock lets go of it.

    Returns:
        Whether it is locked: False, with a warning, on a file system that has no locks.

    Raises:
        BlockingIOError: Another process has it, and this one does not wait.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        log.warning(
            "%s cannot be locked (%s): nothing keeps two processes from writing there at once",
            file.name,
            error.strerror,
        )
        return False
    return True


def write_atomically(path: Path, data: str | bytes) -> None:
    """Replace a file in one step; a reader sees the old content or the new, never a part.

    Raises:
        RunError: The disk is full or the folder cannot be written; the old file is untouched.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def disk_error(error: OSError, path: Path) -> RunError:
    """An operating system's refusal, as one line that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"no space left to write {path}; free some and run the same command again: it resumes")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return RunError(f"cannot write {path}: {error.strerror}; choose another place with outputs=<folder>")
    return RunError(f"cannot write {path}: {error.strerror or error}")
