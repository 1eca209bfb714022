"""HDF5 files as PDEBench publishes them (Takamoto et al. 2022, *PDEBench: An Extensive Benchmark for Scientific ML*).

Three layouts, told apart by what the file holds:

* one array a field, ``tensor`` or any names such as ``Vx`` and ``density``: ``(n, t, x)``, ``(n, t, x, y)`` or
  ``(n, t, x, y, z)``; for Darcy flow ``tensor`` ``(n, 1, x, y)`` is computed from ``nu`` ``(n, x, y)``.
  ``x-coordinate`` and so on are at the top; ``t-coordinate`` may have one entry more than there are states, as in the
  published files;
* one group a sample, ``0000``, ``0001``, ...: ``data`` ``(t, x, y, channels)`` and ``grid/x``, ``grid/y``, ``grid/t``
  (diffusion-reaction, shallow water; with one space axis diffusion-sorption).

The files do not say what lies beyond the last point: ``periodic`` is a parameter. PDEBench's points are the centres of
cells, so its coordinates do not include the ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.data.hdf5 import opened
from sciml.errors import UsageError
from sciml.operator.source.array import Joined, Stacked, View
from sciml.operator.source.base import Array, Recording, Source
from sciml.operator.source.hdf5 import coordinate, dataset, where

if TYPE_CHECKING:
    import h5py

_AXES = ("x", "y", "z")


@final
class PDEBench(Source):
    """A file in one of PDEBench's layouts.

    Args:
        path: The file.
        periodic: Of all space axes, or of each.
        fields: Datasets that make a state, in the order of its channels; null for ``tensor`` if the file has it, else
            all that are no coordinates, by name. Groups of samples have theirs in one array.
        coefficients: Dataset of what a sample was computed from; null for ``nu`` if the file has it.
        ends: The first and last point of an axis that is not periodic are its ends; PDEBench's are not.
    """

    def __init__(
        self,
        *,
        path: str,
        periodic: bool | list[bool],
        fields: list[str] | None = None,
        coefficients: str | None = None,
        ends: bool = False,
    ) -> None:
        self.path, self.periodic, self.fields, self.coefficients, self.ends = (
            Path(path),
            periodic,
            fields,
            coefficients,
            ends,
        )

    def read(self) -> Recording:
        file = opened(self.path)
        try:
            return self._of_groups(file) if self._samples(file) else self._of_arrays(file)
        except BaseException:
            file.close()
            raise

    def _recording(
        self, file: h5py.File, states: Array, coefficients: Array | None, times: np.ndarray | None, x: list[np.ndarray]
    ) -> Recording:
        periodic = self.periodic if isinstance(self.periodic, list) else [self.periodic] * len(x)
        if len(periodic) != len(x):
            raise UsageError(f"{self.path}: periodic names {len(periodic)} space axes, the file has {len(x)}")
        return Recording(
            name=str(self.path),
            states=states,
            coefficients=coefficients,
            times=times,
            coordinates=tuple(x),
            periodic=tuple(periodic),
            ends=self.ends,
            close=file.close,
        )

    # ------------------------------------------------------------ one array a field

    def _of_arrays(self, file: h5py.File) -> Recording:
        d = sum(f"{axis}-coordinate" in file for axis in _AXES)
        if not d:
            raise UsageError(f"{self.path}: neither x-coordinate nor groups of samples, expected a layout of PDEBench")
        form = f"(n, times, {', '.join(_AXES[:d])})"
        name = self.coefficients or ("nu" if "nu" in file else None)
        fields = self.fields or (["tensor"] if "tensor" in file else self._others(file, name))
        arrays = [dataset(file, field, form, ndims=[d + 2]) for field in fields]
        n, steps, *grid = arrays[0].shape
        for field, array in zip(fields, arrays, strict=True):
            if array.shape != arrays[0].shape:
                raise UsageError(f"{where(file, field)}: shape {array.shape}, expected {arrays[0].shape}")
        states = Stacked([_channel(file, field, array) for field, array in zip(fields, arrays, strict=True)])
        given = None
        if name is not None:
            array = dataset(file, name, f"{(n, *grid)}", ndims=[d + 1])
            if array.shape != (n, *grid):
                raise UsageError(f"{where(file, name)}: shape {array.shape}, expected {(n, *grid)}")
            given = _channel(file, name, array)
        x = [coordinate(file, f"{axis}-coordinate", size) for axis, size in zip(_AXES, grid, strict=False)]
        times = coordinate(file, "t-coordinate", steps, more=1) if steps > 1 else None
        return self._recording(file, states, given, times, x)

    def _others(self, file: h5py.File, coefficients: str | None) -> list[str]:
        names = [name for name in sorted(file) if not name.endswith("-coordinate") and name != coefficients]
        if not names:
            raise UsageError(f"{self.path}: only coordinates, expected 'tensor' or a dataset for each field")
        return names

    # ------------------------------------------------------------ one group a sample

    def _samples(self, file: h5py.File) -> list[str]:
        return sorted(str(name) for name in file if str(name).isdigit())

    def _of_groups(self, file: h5py.File) -> Recording:
        names = self._samples(file)
        axes = [axis for axis in _AXES if f"{names[0]}/grid/{axis}" in file]
        form = f"(times, {', '.join(axes)}, channels)"
        arrays = [dataset(file, f"{name}/data", form, ndims=[len(axes) + 2]) for name in names]
        shape = arrays[0].shape
        for name, array in zip(names, arrays, strict=True):
            if array.shape != shape:
                raise UsageError(f"{where(file, f'{name}/data')}: shape {array.shape}, expected {shape}")
        parts = [
            View(array, (None, *range(len(shape))), (1, *shape), where(file, f"{name}/data"))
            for name, array in zip(names, arrays, strict=True)
        ]
        group: Any = file[names[0]]
        x = [coordinate(group, f"grid/{axis}", size) for axis, size in zip(axes, shape[1:-1], strict=True)]
        times = coordinate(group, "grid/t", shape[0]) if shape[0] > 1 else None
        return self._recording(file, Joined(parts), None, times, x)


def _channel(file: h5py.File, name: str, array: h5py.Dataset) -> View:
    """The array with an axis for its one channel."""
    return View(array, (*range(len(array.shape)), None), (*array.shape, 1), where(file, name))
