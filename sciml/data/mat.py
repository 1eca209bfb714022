"""Variables of MATLAB files, of both formats that there are.

MATLAB's own format up to version 7 is read by SciPy, whole. Version 7.3 is HDF5 with all axes in reverse, and is read
as far as it is asked for. Neither holds code that could run.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sciml.data.hdf5 import opened
from sciml.datafile import reading
from sciml.errors import UsageError

GIB = 2**30
_NUMBERS = ("double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


class Variable(NamedTuple):
    """A numeric array of a MATLAB file.

    Attributes:
        array: In memory or in the file.
        reverse: Its axes are in reverse.
    """

    array: Any
    reverse: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """As in MATLAB."""
        return tuple(self.array.shape[::-1] if self.reverse else self.array.shape)

    def rows(self, start: int, stop: int, *, last: int | None = None) -> np.ndarray:
        """Entries ``[start, stop)`` of the first axis, all of the others; only entry ``last`` of the last, if given.

        Raises:
            OSError, RuntimeError: The file is damaged there.
        """
        if self.reverse:
            if last is None:
                return np.asarray(self.array[..., start:stop]).T
            return np.asarray(self.array[range(len(self.array))[last], ..., start:stop]).T  # h5py wants it from 0
        return np.asarray(self.array[start:stop] if last is None else self.array[start:stop, ..., last])


def variables(
    path: Path, names: Sequence[str], *, largest: float | None = None
) -> tuple[dict[str, Variable], Callable[[], None]]:
    """Variables of numbers by their names, and what closes the file.

    Args:
        path: The file.
        names: Of the variables.
        largest: GiB that may be read at once from a file older than version 7.3; None for any number.

    Raises:
        UsageError: There is no such file, it is no MATLAB file, it is cut off or too large, a variable is missing or
            holds no numbers, or SciPy is missing.
    """
    import h5py

    if path.is_file() and not h5py.is_hdf5(path):
        return _by_scipy(path, names, largest), lambda: None
    file = opened(path)
    found = {}
    for name in names:
        variable = file.get(name)
        if not isinstance(variable, h5py.Dataset) or variable.dtype.kind not in "fiu":
            there = ", ".join(sorted(file))
            file.close()
            raise UsageError(f"{path}: no variable {name} of numbers; there is {there}")
        found[name] = Variable(variable, True)
    return found, file.close


def shapes(path: Path, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of variables of numbers, without reading these.

    Raises:
        UsageError: As for :func:`variables`.
    """
    import h5py

    if not path.is_file() or h5py.is_hdf5(path):
        found, close = variables(path, names)
        try:
            return {name: variable.shape for name, variable in found.items()}
        finally:
            close()
    there = {name: shape for name, shape, kind in _listed(path) if kind in _NUMBERS}
    for name in names:
        if name not in there:
            raise UsageError(f"{path}: no variable {name} of numbers")
    return {name: there[name] for name in names}


def _listed(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and kind of each variable of a file that SciPy reads."""
    _, whosmat, refusals = _scipy(path)
    try:
        return whosmat(path)
    except refusals as error:
        raise UsageError(f"{path}: no MATLAB file, or one that is cut off") from error


def _scipy(path: Path) -> tuple[Callable[..., Any], Callable[..., Any], tuple[type[Exception], ...]]:
    """What reads a file, what lists its variables, and what they raise."""
    try:
        from scipy.io import loadmat, whosmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: MATLAB files older than version 7.3 need SciPy: pip install 'sciml[mat]'") from error
    refusals = (MatReadError, ValueError, TypeError, OSError, EOFError, NotImplementedError, zlib.error)
    return loadmat, whosmat, refusals


def _by_scipy(path: Path, names: Sequence[str], largest: float | None) -> dict[str, Variable]:
    loadmat, _, refusals = _scipy(path)
    if largest is not None:
        _refuse_large(path, {name: shape for name, shape, _ in _listed(path) if name in names}, largest)
    reading(path)
    try:
        found = loadmat(path, variable_names=list(names))
    except refusals as error:
        raise UsageError(f"{path}: no MATLAB file, or one that is cut off") from error
    for name in names:
        if name not in found or found[name].dtype.kind not in "fiu":
            raise UsageError(f"{path}: no variable {name} of numbers")
    return {name: Variable(found[name], False) for name in names}


def _refuse_large(path: Path, shapes: dict[str, tuple[int, ...]], largest: float) -> None:
    """MATLAB's numbers are in double precision unless someone has asked for another."""
    needed = sum(8 * int(np.prod(shape, dtype=np.float64)) for shape in shapes.values()) / GIB
    if needed > largest:
        raise UsageError(
            f"{path}: {', '.join(shapes)} take {needed:.3g} GiB, which would be read at once, and more than"
            f" {largest:g}; save the file as version 7.3"
        )
