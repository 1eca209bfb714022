"""Simulations in HDF5, laid out as PDEBench does, so that its loader and ours read both.

Datasets lie at the top of the file: the fields with the samples along the first axis, in float32, not compressed,
and the coordinates, one array an axis. PDEBench puts the physical parameters into the attributes of the file; here
every parameter of the simulation stands there under its own name, and beside them what else the numbers come from:

=====================  ===============================================================
``generator``          the class that made them, as a dotted name
``generator_version``  of that class; it rises whenever the same parameters give other numbers
``n``, ``seed``        how many samples, and of which seed; sample i depends on seed and i
``chunk``              how many were computed together
``periodic``           for each axis of space, whether it closes
``parameters``         all parameters once more, as JSON
``versions``           of the packages that computed them, as JSON
``sha256``             of all of the above and of the datasets
=====================  ===============================================================

Layout: Takamoto et al. 2022, *PDEBench* (arXiv 2210.07182), and ``Data_Merge.py`` and ``fno/utils.py`` of its code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sciml.data.hdf5 import opened
from sciml.errors import RunError, UsageError

if TYPE_CHECKING:
    import h5py

_SUM = "sha256"
_OWN = ("generator", "generator_version", "n", "seed", "chunk", "periodic", "parameters", "versions", _SUM)
_BLOCK = 2**26  # bytes read at once


def write(
    path: Path,
    chunks: Iterable[Mapping[str, np.ndarray]],
    coordinates: Mapping[str, np.ndarray],
    parameters: Mapping[str, Any],
    about: Mapping[str, Any],
) -> None:
    """Write a file; the same arguments give the same bytes.

    Args:
        path: The file.
        chunks: Samples in their order, some at a time: arrays by dataset name, the samples along the first axis.
        coordinates: Arrays by dataset name.
        parameters: Of the simulation, plain data.
        about: The other attributes of the table above, without ``parameters`` and the checksum.

    Raises:
        ValueError: A parameter has the name of one of these attributes.
    """
    import h5py

    if taken := [name for name in parameters if name in _OWN]:
        raise ValueError(f"a simulation's parameter cannot be called {taken[0]}: the file uses that name itself")
    with h5py.File(path, "w") as file:
        first = 0
        for fields in chunks:
            for name, values in fields.items():
                if name not in file:
                    file.create_dataset(name, (about["n"], *values.shape[1:]), np.float32)
                _dataset(file, name)[first : first + len(values)] = values
            first += len(next(iter(fields.values())))
        for name, values in coordinates.items():
            file[name] = values
        for name, value in {**parameters, **about, "parameters": json.dumps(parameters, sort_keys=True)}.items():
            file.attrs[name] = _attribute(value)
        file.attrs[_SUM] = _checksum(file)


def _attribute(value: Any) -> Any:
    import h5py

    if value is None:
        return h5py.Empty("f4")
    if isinstance(value, Mapping):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, list | tuple) and not all(isinstance(item, bool | int | float) for item in value):
        return json.dumps(value)
    return value


def _dataset(file: h5py.File, name: str) -> h5py.Dataset:
    import h5py

    found = file[name]
    assert isinstance(found, h5py.Dataset)
    return found


def attributes(file: h5py.File) -> dict[str, Any]:
    """The attributes of a file as plain data."""
    return {name: _plain(value) for name, value in sorted(file.attrs.items())}


def _plain(value: Any) -> Any:
    import h5py

    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _checksum(file: h5py.File) -> str:
    total = hashlib.sha256(json.dumps({k: v for k, v in attributes(file).items() if k != _SUM}).encode())
    for name in sorted(file):
        data = _dataset(file, name)
        total.update(f"{name} {data.dtype.str} {data.shape}".encode())
        rows = max(1, _BLOCK * len(data) // max(1, data.nbytes))
        for first in range(0, len(data), rows):
            total.update(np.ascontiguousarray(data[first : first + rows]).data)
    return total.hexdigest()


def contents(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Attributes of a file of anyone's, and its datasets by their paths, in words.

    Raises:
        UsageError: It cannot be read.
    """
    import h5py

    found: dict[str, str] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = f"{item.dtype} {item.shape}"

    with opened(path) as file:
        file.visititems(note)
        return attributes(file), found


def check(path: Path) -> None:
    """Hold a file against the checksum in it.

    Raises:
        UsageError: It cannot be read, or holds no checksum.
        RunError: It does not match.
    """
    with opened(path) as file:
        if _SUM not in file.attrs:
            raise UsageError(f"{path} holds no checksum: sciml data generate did not write it")
        try:
            same = _checksum(file) == file.attrs[_SUM]
        except (OSError, AssertionError, TypeError) as error:
            raise RunError(f"{path} is damaged: {error or 'it holds what was not written there'}") from error
        if not same:
            raise RunError(f"{path} is damaged: its contents do not match its checksum")
