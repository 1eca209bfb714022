"""HDF5 files of The Well (Ohana et al. 2024, *The Well: a Large-Scale Collection of Diverse Physics Simulations*).

The layout is the project's published one (``docs/data_format.md``): ``t0_fields``, ``t1_fields`` and ``t2_fields`` hold
scalars, vectors and tensors ``(n, t, x, y[, z])`` + ``(d,)`` or ``(d, d)``; a field lacks the axes along which its
attributes ``sample_varying``, ``time_varying`` and ``dim_varying`` say that it does not vary. Fields that vary in time
are the state, its channels in the file's order: scalars, then the components of vectors, then those of tensors row by
row. Fields that do not are coefficients, and so are those ``scalars`` that are asked for. An axis is periodic if a
boundary condition of that type is on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.data.hdf5 import opened
from sciml.errors import UsageError
from sciml.operator.source.array import Flat, Joined, Stacked, View
from sciml.operator.source.base import Array, Recording, Source
from sciml.operator.source.hdf5 import coordinate, dataset, where

if TYPE_CHECKING:
    import h5py


@final
class Well(Source):
    """A file, or all HDF5 files of a folder (``data/train``, say) one after another by name.

    Args:
        path: The file or the folder.
        fields: Fields of the state, in the order of its channels; null for all that vary in time.
        scalars: Constant scalars to add to the coefficients, as uniform fields.
        ends: The first and last point of an axis that is not periodic are its ends; a stride has to keep both.
    """

    def __init__(
        self, *, path: str, fields: list[str] | None = None, scalars: Sequence[str] = (), ends: bool = False
    ) -> None:
        self.path, self.fields, self.scalars, self.ends = Path(path), fields, list(scalars), ends

    def read(self) -> Recording:
        paths = [self.path]
        if self.path.is_dir():
            paths = sorted(file for file in self.path.iterdir() if file.suffix in (".h5", ".hdf5"))
            if not paths:
                raise UsageError(f"{self.path}: no .hdf5 or .h5 file in this folder")
        parts: list[Recording] = []
        try:
            for path in paths:
                parts.append(self._part(path))
                _alike(parts[0], parts[-1])
        except BaseException:
            _close(parts)
            raise
        first = parts[0]
        given = [part.coefficients for part in parts if part.coefficients is not None]
        return Recording(
            name=str(self.path),
            states=Joined([part.states for part in parts]),
            coefficients=Joined(given) if given else None,
            times=first.times,
            coordinates=first.coordinates,
            periodic=first.periodic,
            ends=self.ends,
            close=lambda: _close(parts),
        )

    def _part(self, path: Path) -> Recording:
        file = opened(path)
        try:
            return self._recording(file)
        except BaseException:
            file.close()
            raise

    def _recording(self, file: h5py.File) -> Recording:
        n = int(_attribute(file, "n_trajectories", "their number"))
        dimensions = _group(file, "dimensions")
        axes = [_text(axis) for axis in _attribute(dimensions, "spatial_dims", "names of the space axes")]
        x = []
        for axis in axes:
            found = dataset(dimensions, axis, "(points,), the same for all samples", ndims=[1])
            x.append(coordinate(dimensions, axis, len(found)))
        times = _times(dimensions)
        shape = (n, len(times), *map(len, x))
        states, given = {}, {}
        for order in range(3):
            group = _group(file, f"t{order}_fields")
            for name in map(_text, _attribute(group, "field_names", "names of the fields")):
                varying, field = _field(group, name, order, shape)
                (states if varying else given)[name] = field
        wanted = states if self.fields is None else self.fields
        for name in wanted:
            if name not in states:
                raise UsageError(f"{file.filename}: no field {name} that varies in time; there is {', '.join(states)}")
        if not states:
            raise UsageError(f"{file.filename}: no field varies in time")
        coefficients = [*given.values(), *(_scalar(file, name, (n, *shape[2:])) for name in self.scalars)]
        return Recording(
            name=str(file.filename),
            states=Stacked([states[name] for name in wanted]),
            coefficients=Stacked(coefficients) if coefficients else None,
            times=times,
            coordinates=tuple(x),
            periodic=tuple(axis in _periodic(file) for axis in axes),
            ends=self.ends,
            close=file.close,
        )


def _field(group: h5py.Group, name: str, order: int, shape: tuple[int, ...]) -> tuple[bool, Array]:
    """Whether it varies in time; and ``(n[, t], *grid, channels)`` if it does, else without times."""
    d = len(shape) - 2
    found = dataset(group, name, "of a field", ndims=range(8))
    of_sample = bool(_attribute(found, "sample_varying", "true or false"))
    of_time = bool(_attribute(found, "time_varying", "true or false"))
    of_space = [bool(v) for v in _attribute(found, "dim_varying", f"{d} times true or false")]
    if len(of_space) != d:
        raise UsageError(f"{where(group, name)}: attribute dim_varying has {len(of_space)} entries, expected {d}")
    wanted = [shape[0], *([shape[1]] if of_time else []), *shape[2:], *[d] * order]
    before = [of_sample, *([True] if of_time else [])]
    present = [*before, *of_space, *[True] * order]
    expected = tuple(size for size, there in zip(wanted, present, strict=True) if there)
    # The specification drops a space axis along which a field does not vary; the project's own loader takes length 1.
    if found.shape != expected:
        wide = [size if there else 1 for size, there in zip(shape[2:], of_space, strict=True)]
        expected = (*expected[: sum(before)], *wide, *[d] * order)
        present = [*before, *[True] * (d + order)]
    if found.shape != expected:
        raise UsageError(f"{where(group, name)}: shape {found.shape}, expected {expected}")
    places = iter(range(len(expected)))
    axes: list[int | None] = [next(places) if there else None for there in present]
    if order == 0:
        return of_time, View(found, [*axes, None], [*wanted, 1], where(group, name))
    view = View(found, axes, wanted, where(group, name))
    return of_time, Flat(view) if order == 2 else view


def _scalar(file: h5py.File, name: str, shape: tuple[int, ...]) -> View:
    group = _group(file, "scalars")
    found = dataset(group, name, "of a constant scalar", ndims=[0, 1])
    if _attribute(found, "time_varying", "true or false"):
        raise UsageError(f"{where(group, name)}: this scalar varies in time, so it is no coefficient")
    values = np.atleast_1d(found[()])
    varies = bool(_attribute(found, "sample_varying", "true or false"))
    expected = (shape[0],) if varies else (1,)
    if values.shape != expected:
        raise UsageError(f"{where(group, name)}: shape {values.shape}, expected {expected}")
    array, axes = (values, (0, *[None] * len(shape))) if varies else (values.reshape(()), [None] * (len(shape) + 1))
    return View(array, axes, (*shape, 1), where(group, name))


def _times(dimensions: h5py.Group) -> np.ndarray:
    found = dataset(dimensions, "time", "(times,)", ndims=[1, 2])
    if found.ndim == 1:
        return coordinate(dimensions, "time", len(found))
    steps = np.diff(np.asarray(found[()], dtype=np.float64), axis=1)
    if not np.allclose(steps, steps[0], rtol=1e-4, atol=0):
        raise UsageError(f"{where(dimensions, 'time')}: times differ from sample to sample, expected the same steps")
    return np.asarray(found[0], dtype=np.float64)


def _periodic(file: h5py.File) -> set[str]:
    found = set()
    for condition in _group(file, "boundary_conditions").values():
        if _text(_attribute(condition, "bc_type", "periodic, wall or open")).lower() == "periodic":
            found |= set(map(_text, np.atleast_1d(_attribute(condition, "associated_dims", "names of space axes"))))
    return found


def _group(file: h5py.File, name: str) -> h5py.Group:
    import h5py

    found = file.get(name)
    if not isinstance(found, h5py.Group):
        raise UsageError(f"{file.filename}: no group {name}, which the format of The Well has")
    return found


def _attribute(at: h5py.Group | h5py.Dataset, name: str, expected: str) -> Any:
    if name not in at.attrs:
        raise UsageError(f"{at.file.filename}: {at.name} has no attribute {name}, expected {expected}")
    return at.attrs[name]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _alike(first: Recording, other: Recording) -> None:
    for what, a, b in (
        ("states", first.states.shape[1:], other.states.shape[1:]),
        ("coefficients", *((r.coefficients and r.coefficients.shape[1:]) for r in (first, other))),
        ("periodic axes", first.periodic, other.periodic),
    ):
        if a != b:
            raise UsageError(f"{other.name}: {what} {b}, expected {a} as in {first.name}")


def _close(parts: list[Recording]) -> None:
    for part in parts:
        part.close()
