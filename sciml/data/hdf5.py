"""Opening HDF5 files, ours and others'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sciml.datafile import reading
from sciml.errors import UsageError

if TYPE_CHECKING:
    import h5py


def opened(path: str | Path) -> h5py.File:
    """A file to read.

    Raises:
        UsageError: There is none, it is no HDF5 file, or it was cut off.
    """
    import h5py

    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}")
    reading(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if h5py.is_hdf5(path):
            raise UsageError(f"{path}: an HDF5 file that cannot be opened; it is cut off, or being written") from error
        raise UsageError(f"{path}: no HDF5 file") from error
