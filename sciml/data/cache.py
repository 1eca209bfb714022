"""Generated data, kept: made once, whoever asks first, and read by all.

An entry is named by what made it, the name of a generator, its version and its settings, and lies in a folder of
its own::

    <root>/<name>/<digest>/data           what the generator wrote, in whatever format
    <root>/<name>/<digest>/entry.json     its size and SHA-256, and the settings it was made with
    <root>/<name>/<digest>.parts/         what a generator that takes long keeps until the entry is there

The folder is put together under another name and renamed, so that a reader sees all of it or nothing. One process
at a time generates, held apart by a lock of the operating system, which a process that dies does not keep; the
others wait, and find the entry. What a dead generator left behind is removed by the next one, but for its parts,
with which the next one goes on. An entry that does not match its checksum is named and made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sciml.errors import RunError
from sciml.files import disk_error, exclusive, sync_folder, write_atomically
from sciml.folder import OUTPUTS

log = logging.getLogger("sciml")

PARTS = ".parts"


def folder() -> Path | None:
    """Where the run in progress keeps what is generated; None outside of a run: nowhere, it is made anew."""
    outputs = OUTPUTS.get(None)
    return outputs / ".data" if outputs else None


def place_of(root: Path, name: str, settings: Mapping[str, Any], *, version: int) -> Path:
    """The folder of an entry, whether or not it is there; the arguments are those of :func:`entry`."""
    text = json.dumps(_identity(name, settings, version), sort_keys=True)
    return root / name / hashlib.sha256(text.encode()).hexdigest()[:16]


def parts_of(place: Path) -> Path:
    """The folder in which an entry's generator may keep what it has made so far; it goes when the entry is there.

    Whole files only: a generator is killed at any time, and the next one finds what lies there.
    """
    return place.with_name(f"{place.name}{PARTS}")


def place_of_parts(parts: Path) -> Path:
    """The folder of the entry that these parts are of."""
    return parts.with_name(parts.name.removesuffix(PARTS))


def entry(
    root: Path,
    name: str,
    settings: Mapping[str, Any],
    *,
    version: int,
    generate: Callable[[Path], None],
    suffix: str = "",
    waiting: Callable[[], None] = lambda: None,
) -> Path:
    """The file with the data that a generator makes of its settings; generated if it is not there or damaged.

    Args:
        root: The cache.
        name: The generator's name, a part of the path.
        settings: All that the data depends on, as plain data.
        version: Of the generator; another one makes other data of the same settings.
        generate: Writes the file at the path that it is given. It may raise, and be killed: nothing of it remains,
            but for what it put into :func:`parts_of`.
        suffix: Of the file, for readers that look at it.
        waiting: Called if another process is generating this entry, and its end is waited for.

    Returns:
        The file. It is whole, and does not change; it is not to be written to.

    Raises:
        RunError: The cache cannot be written, and the entry is not there.
    """
    place = place_of(root, name, settings, version=version)
    parts = parts_of(place)
    if not _whole(place):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with _alone(place, waiting) as alone:
                if not _whole(place, tell=True):  # once more: whoever had the lock before may have made it
                    identity = _identity(name, settings, version)
                    _generate(place, identity, generate, file=f"data{suffix}", sweep=alone)
        except OSError as error:
            raise _refusal(error, place) from error
    if parts.exists():
        shutil.rmtree(parts, ignore_errors=True)
    return place / f"data{suffix}"


def _identity(name: str, settings: Mapping[str, Any], version: int) -> dict[str, Any]:
    return {"name": name, "version": version, "settings": dict(settings)}


@dataclass(frozen=True)
class Kept:
    """An entry as its own record has it.

    Attributes:
        file: The data.
        name: The generator's.
        version: The generator's.
        settings: What it was made with.
        size: In bytes.
    """

    file: Path
    name: str
    version: int
    settings: dict[str, Any]
    size: int

    def whole(self) -> bool:
        """Whether the data match the checksum."""
        return _whole(self.file.parent)


def kept(root: Path, below: str = "") -> Iterator[Kept]:
    """The entries of a cache in the order of their paths, without looking at the data; damaged records are left out.

    Args:
        root: The cache.
        below: Only those whose name begins with these folders.
    """
    for path in sorted((root / below).rglob("entry.json")):
        if path.parent.name.startswith("."):  # being made, or left by one who died
            continue
        try:
            record = json.loads(path.read_text())
            file = path.with_name(record.get("file", "data"))
            yield Kept(file, record["name"], record["version"], record["settings"], record["bytes"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue


def remove(place: Path) -> None:
    """Remove an entry, and what its generator has made so far.

    Args:
        place: The entry's folder, see :func:`place_of`; it may be there, or only its parts.

    Raises:
        RunError: Its generator is at work, or the cache cannot be written; nothing is removed.
    """

    def busy() -> None:
        raise RunError(f"{place} is being made by another process; nothing is removed")

    try:
        with _alone(place, busy):
            # A reader sees all of an entry or nothing: it goes under another name first.
            old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
            for path in (place, parts_of(place)):
                if path.exists():
                    os.rename(path, old / path.name)
            shutil.rmtree(old)
    except OSError as error:
        raise _refusal(error, place) from error


@contextmanager
def _alone(place: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold the entry's lock; False where the file system has none, and several may generate at once."""
    path = place.with_name(f"{place.name}.lock")
    while True:
        with open(path, "a+") as file:
            try:
                locked = exclusive(file, wait=False)
            except BlockingIOError:
                waiting()
                locked = exclusive(file, wait=True)
            # Whoever held it before has removed the file: this lock is on nothing.
            if locked and not _same(path, file.fileno()):
                continue
            try:
                yield locked
            finally:
                path.unlink(missing_ok=True)
            return


def _same(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _generate(
    place: Path, identity: Mapping[str, Any], generate: Callable[[Path], None], *, file: str, sweep: bool
) -> None:
    if sweep:  # nobody else is at work here: what lies about belongs to the dead
        for left in place.parent.glob(f".{place.name}.*"):
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        made.chmod(0o777 & ~_umask())  # mkdtemp's are the maker's alone; a cache is for a group
        data = made / file
        generate(data)
        with open(data, "rb+") as written:
            os.fsync(written.fileno())
        record = {**identity, "file": file, "bytes": data.stat().st_size, "sha256": _checksum(data)}
        write_atomically(made / "entry.json", json.dumps(record, indent=1) + "\n")
        _publish(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)  # still there only if the block failed, or was late


def _publish(made: Path, place: Path) -> None:
    if place.exists():
        if _whole(place):
            return  # made by another meanwhile, where there are no locks
        old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        os.rename(place, old)  # an empty folder may be taken the place of
        shutil.rmtree(old, ignore_errors=True)
    try:
        os.rename(made, place)
    except OSError:
        if not _whole(place):
            raise
    sync_folder(place.parent)


def _whole(place: Path, *, tell: bool = False) -> bool:
    if not place.is_dir():
        return False
    try:
        record = json.loads((place / "entry.json").read_text())
        data = place / record.get("file", "data")
        size = data.stat().st_size
        if size != record["bytes"]:
            raise ValueError(f"data has {size} bytes instead of {record['bytes']}")
        if _checksum(data) != record["sha256"]:
            raise ValueError("data does not match its checksum")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        if tell:
            log.warning("data cache entry %s is damaged (%s); it is made again", place, reason)
        return False
    return True


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refusal(error: OSError, place: Path) -> RunError:
    return RunError(f"{disk_error(error, Path(error.filename or place))} (generated data for {place.parent.name})")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
