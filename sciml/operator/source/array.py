"""Arrays of files as a recording wants them: other axes, several files as one, float32, every number finite."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import Any, final

import numpy as np

from sciml.errors import RunError
from sciml.operator.source.base import Array, Index


def whole(shape: tuple[int, ...], index: Index) -> Index:
    """An index with a slice for each axis, every one with its ends and its step."""
    full = (*index, *[slice(None)] * (len(shape) - len(index)))
    return tuple(slice(*part.indices(size)) for part, size in zip(full, shape, strict=True))


@final
class View:
    """An array with its axes in another order, axes that it lacks, and float32 numbers.

    Args:
        array: Of numbers or booleans, in memory or in a file.
        axes: For each axis of the view the array's; None for one along which the array does not vary, and one of
            length 1 is the same.
        shape: Of the view.
        name: What messages call it: file and dataset.
    """

    def __init__(self, array: Any, axes: Sequence[int | None], shape: Sequence[int], name: str) -> None:
        self.array, self.axes, self.shape, self.name = array, tuple(axes), tuple(map(int, shape)), name

    def __getitem__(self, index: Index) -> np.ndarray:
        wanted = whole(self.shape, index)
        lengths = [len(range(part.start, part.stop, part.step)) for part in wanted]
        if 0 in lengths:
            return np.empty(lengths, dtype=np.float32)
        mine = [
            wanted[self.axes.index(axis)] if size > 1 else slice(0, 1, 1) for axis, size in enumerate(self.array.shape)
        ]
        # Along fast axes HDF5 takes steps one number at a time: cheaper to read all, and then to leave out.
        ranges = tuple(slice(part.start, part.stop) if axis > 1 else part for axis, part in enumerate(mine))
        steps = tuple(slice(None, None, part.step) if axis > 1 else slice(None) for axis, part in enumerate(mine))
        try:
            values = np.asarray(self.array[ranges])[steps].astype(np.float32, copy=False)
        except (OSError, RuntimeError, zlib.error) as error:
            raise RunError(f"{self.name} cannot be read: the file is damaged or cut off") from error
        if not np.isfinite(values).all():
            at = [part.start + int(i) * part.step for i, part in zip(_first_bad(values), mine, strict=True)]
            raise RunError(f"{self.name} holds numbers that are not finite; the first that was read is at {at}")
        values = values.transpose([axis for axis in self.axes if axis is not None])
        new = tuple(np.newaxis if axis is None else slice(None) for axis in self.axes)
        values = values[new]
        # A tensor cannot be made of what broadcasting gives without a warning: it is not writable.
        return values if values.shape == tuple(lengths) else np.broadcast_to(values, lengths).copy()


def _first_bad(values: np.ndarray) -> np.ndarray:
    return np.argwhere(~np.isfinite(values))[0]


@final
class Stacked:
    """Arrays side by side along the last axis, the channels; an index does not go that far.

    Args:
        parts: Alike in all other axes.
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = parts
        self.shape = (*parts[0].shape[:-1], sum(part.shape[-1] for part in parts))

    def __getitem__(self, index: Index) -> np.ndarray:
        if len(self.parts) == 1:
            return self.parts[0][index]
        return np.concatenate([part[index] for part in self.parts], axis=-1)


@final
class Flat:
    """An array whose last two axes are one; an index does not go that far.

    Args:
        array: With at least three axes.
    """

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shape = (*array.shape[:-2], math.prod(array.shape[-2:]))

    def __getitem__(self, index: Index) -> np.ndarray:
        values = self.array[index]
        return values.reshape(*values.shape[:-2], self.shape[-1])


@final
class Joined:
    """Arrays one after another along the first axis.

    Args:
        parts: Alike in all other axes.
    """

    def __init__(self, parts: Sequence[Array]) -> None:
        self.parts = parts
        self.first = np.cumsum([0, *(part.shape[0] for part in parts)])
        self.shape = (int(self.first[-1]), *parts[0].shape[1:])

    def __getitem__(self, index: Index) -> np.ndarray:
        rows = np.arange(self.shape[0])[index[0]]
        part_of = np.searchsorted(self.first, rows, side="right") - 1
        if not len(rows):
            return self.parts[0][(slice(0, 0), *index[1:])]
        found = []
        for part in np.unique(part_of):
            local = rows[part_of == part] - self.first[part]
            step = index[0].step or 1
            found.append(self.parts[part][(slice(int(local[0]), int(local[-1]) + 1, step), *index[1:])])
        return np.concatenate(found) if len(found) > 1 else found[0]
