"""Arrays of a researcher's own files, by name: ``.npz`` archives, ``.npy`` files or a folder of them, HDF5.

None of these formats holds code that could run: arrays of Python objects are refused. Files ``.npy`` and HDF5 are read
as far as they are asked for, members of an archive whole.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sciml.data.hdf5 import opened
from sciml.datafile import reading
from sciml.errors import ConfigError, UsageError

_NUMBERS = "fiub"


def arrays(path: Path, names: Iterable[str]) -> tuple[dict[str, Any], Callable[[], None]]:
    """Arrays of numbers by their names, in memory or in the file, and what closes it.

    Args:
        path: An archive, a file ``.npy`` (whose one array has the file's name without ``.npy``), a folder of these, or
            an HDF5 file.
        names: Of the arrays; of HDF5 datasets their paths.

    Raises:
        UsageError: There is no such file or folder, it is of another format or cut off, or an array is missing or
            holds no numbers; the line says which there are.
    """
    if path.is_dir():
        return {name: npy(_member(path, name, [file.stem for file in path.glob("*.npy")])) for name in names}, _nothing
    if path.suffix == ".npy":
        return {name: npy(_only(path, name)) for name in names}, _nothing
    if path.suffix == ".npz":
        return _of_archive(path, names), _nothing
    return _of_hdf5(path, names)


def npy(file: Path) -> np.ndarray:
    """The array of a file ``.npy``; its numbers stay there until they are asked for.

    Raises:
        UsageError: There is no such file, it is cut off, or it holds no numbers.
    """
    if not file.is_file():
        raise UsageError(f"there is no file {file}")
    reading(file)
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"{file}: no array of numbers, or one that is cut off") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in _NUMBERS:
        raise UsageError(f"{file}: no array of numbers")
    return array


def each(key: str, value: Any, n: int) -> tuple[Any, ...]:
    """A parameter for each of n axes or channels, which may be given once for all.

    Raises:
        ConfigError: It has another number of entries.
    """
    entries = tuple(value) if isinstance(value, (list, tuple)) else (value,) * n
    if len(entries) != n:
        raise ConfigError(f"{key} has {len(entries)} entries, not {n}")
    return entries


def _nothing() -> None:
    """What is mapped into memory needs no closing."""


def _only(file: Path, name: str) -> Path:
    if file.is_file() and name != file.stem:
        raise UsageError(f"{file}: no array {name}; there is {file.stem}")
    return file


def _member(folder: Path, name: str, there: Iterable[str]) -> Path:
    if name not in there:
        raise UsageError(f"{folder}: no array {name}; there is {', '.join(sorted(there)) or 'no file .npy'}")
    return folder / f"{name}.npy"


def _of_archive(path: Path, names: Iterable[str]) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    reading(path)
    try:
        with path.open("rb") as stream:  # NumPy leaves it open if there is no archive in it
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UsageError(f"{path}: one array; call the file .npy")
            for name in names:
                if name not in archive:
                    raise UsageError(f"{path}: no array {name}; there is {', '.join(sorted(archive)) or 'none'}")
            found = {name: archive[name] for name in names}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UsageError(f"{path}: no archive of arrays of numbers, or one that is cut off") from error
    for name, array in found.items():
        if array.dtype.kind not in _NUMBERS:
            raise UsageError(f"{path}: {name}: {array.dtype}, expected numbers")
    return found


def _of_hdf5(path: Path, names: Iterable[str]) -> tuple[dict[str, Any], Callable[[], None]]:
    import h5py

    file = opened(path)
    found = {}
    for name in names:
        dataset = None
        with suppress(ValueError):  # a name that is none
            dataset = file.get(name)
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in _NUMBERS:
            there = []
            file.visititems(
                lambda key, item, there=there: there.append(key) if isinstance(item, h5py.Dataset) else None
            )
            file.close()
            raise UsageError(f"{path}: no array {name} of numbers; there is {', '.join(there[:8]) or 'none'}")
        found[name] = dataset
    return found, file.close
