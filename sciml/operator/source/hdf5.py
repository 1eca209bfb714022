"""HDF5 files of others: what is wrong with one is said in a line that names file, dataset and shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sciml.errors import UsageError

if TYPE_CHECKING:
    import h5py


def dataset(group: h5py.Group, name: str, expected: str, *, ndims: Sequence[int]) -> h5py.Dataset:
    """A dataset of numbers with so many axes.

    Args:
        group: Where it lies.
        name: Its path from there.
        expected: The shape in words, for the message.
        ndims: The numbers of axes that it may have.

    Raises:
        UsageError: There is none, or of another form.
    """
    import h5py

    found = group.get(name)
    if not isinstance(found, h5py.Dataset):
        here = ", ".join(sorted(group)[:8]) or "nothing"
        raise UsageError(f"{where(group, name)}: no such dataset, expected {expected}; there is {here}")
    if found.dtype.kind not in "fiub" or len(found.shape) not in ndims:
        raise UsageError(f"{where(group, name)}: {found.dtype} {found.shape}, expected numbers {expected}")
    return found


def where(group: h5py.Group, name: str) -> str:
    """File and path of a dataset, as messages have it."""
    return f"{group.file.filename}: {f'{group.name}/{name}'.lstrip('/')}"


def coordinate(group: h5py.Group, name: str, points: int, *, more: int = 0) -> np.ndarray:
    """The first ``points`` numbers of a coordinate, float64.

    Args:
        group: Where it lies.
        name: Its path from there.
        points: How many there must be.
        more: So many further ones may follow.

    Raises:
        UsageError: There are others, or they do not increase.
    """
    found = dataset(group, name, f"({points},)", ndims=[1])
    if not points <= len(found) <= points + more:
        raise UsageError(f"{where(group, name)}: shape {found.shape}, expected ({points},)")
    x = np.asarray(found[:points], dtype=np.float64)
    if not (np.diff(x) > 0).all():
        raise UsageError(f"{where(group, name)}: a coordinate must increase from point to point")
    return x
