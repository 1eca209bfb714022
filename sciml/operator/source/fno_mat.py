"""MATLAB files of Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*.

========================================  =======================================================  ==================
file                                      variables                                                parameters
========================================  =======================================================  ==================
``piececonst_r421_N1024_smooth1.mat``     ``coeff``, ``sol`` (n, x, y)                             the defaults
``burgers_data_R10.mat``                  ``a``, ``u`` (n, x): at time 0 and 1                     ``periodic: true``
``NavierStokes_V1e-5_N1200_T20.mat``      ``u`` (n, x, y, t); ``t`` (1, t); ``a`` (n, x, y) at 0   with ``times: t``
========================================  =======================================================  ==================

Two formats carry the same variables: MATLAB's own up to version 7, which SciPy reads whole, and version 7.3, which is
HDF5 with all axes in reverse and is read as far as it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np

from sciml.data.hdf5 import opened
from sciml.errors import UsageError
from sciml.operator.source.array import View
from sciml.operator.source.base import Recording, Source


@final
class FNOMat(Source):
    """One file.

    Args:
        path: The file.
        states: Variable with the states, ``(n, *grid)``, or ``(n, *grid, times)`` if ``times`` is given.
        coefficients: Variable with what they were computed from, ``(n, *grid)``; null for none.
        times: Variable with their times; null if each sample has one state.
        periodic: Of all space axes; the points of those that are not include both ends.
        length: Of an axis.
    """

    def __init__(
        self,
        *,
        path: str,
        states: str = "sol",
        coefficients: str | None = "coeff",
        times: str | None = None,
        periodic: bool = False,
        length: float = 1.0,
    ) -> None:
        self.path, self.states, self.coefficients, self.times = Path(path), states, coefficients, times
        self.periodic, self.length = periodic, length

    def read(self) -> Recording:
        names = [name for name in (self.states, self.coefficients, self.times) if name]
        variables, close = _variables(self.path, names)
        try:
            return self._recording(variables, close)
        except BaseException:
            close()
            raise

    def _recording(self, variables: dict[str, tuple[Any, bool]], close: Callable[[], None]) -> Recording:
        shape = self._shape(variables, self.states)
        in_time = self.times is not None
        if not 2 + in_time <= len(shape) <= 4 + in_time:
            form = "(n, *grid, times)" if in_time else "(n, *grid)"
            raise UsageError(f"{self.path}: {self.states}: shape {shape}, expected {form} with one to three space axes")
        n, grid = shape[0], shape[1 : len(shape) - in_time]
        times = None
        if self.times is not None:
            array, _ = variables[self.times]
            times = np.asarray(array[()], dtype=np.float64).reshape(-1)
            if len(times) != shape[-1]:
                found = self._shape(variables, self.times)
                raise UsageError(f"{self.path}: {self.times}: shape {found}, expected (1, {shape[-1]})")
        space = range(1, 1 + len(grid))
        order = (0, len(shape) - 1, *space, None) if in_time else (0, None, *space, None)
        states = self._view(variables, self.states, order, (n, shape[-1] if in_time else 1, *grid, 1))
        given = None
        if self.coefficients is not None:
            found = self._shape(variables, self.coefficients)
            if found != (n, *grid):
                raise UsageError(f"{self.path}: {self.coefficients}: shape {found}, expected {(n, *grid)}")
            given = self._view(variables, self.coefficients, (0, *space, None), (n, *grid, 1))
        x = tuple(np.linspace(0, self.length, points, endpoint=not self.periodic) for points in grid)
        return Recording(
            name=str(self.path),
            states=states,
            coefficients=given,
            times=times,
            coordinates=x,
            periodic=(self.periodic,) * len(grid),
            close=close,
        )

    def _shape(self, variables: dict[str, tuple[Any, bool]], name: str) -> tuple[int, ...]:
        array, reverse = variables[name]
        return tuple(array.shape[::-1] if reverse else array.shape)

    def _view(
        self, variables: dict[str, tuple[Any, bool]], name: str, axes: tuple[int | None, ...], shape: tuple[int, ...]
    ) -> View:
        array, reverse = variables[name]
        last = len(array.shape) - 1
        mine = [axis if axis is None or not reverse else last - axis for axis in axes]
        return View(array, mine, shape, f"{self.path}: {name}")


def _variables(path: Path, names: list[str]) -> tuple[dict[str, tuple[Any, bool]], Callable[[], None]]:
    """Each variable, and whether its axes are in reverse; and what closes the file."""
    import h5py

    if path.is_file() and not h5py.is_hdf5(path):
        return _by_scipy(path, names), lambda: None
    file = opened(path)
    found = {}
    for name in names:
        variable = file.get(name)
        if not isinstance(variable, h5py.Dataset) or variable.dtype.kind not in "fiu":
            there = ", ".join(sorted(file))
            file.close()
            raise UsageError(f"{path}: no variable {name} of numbers; there is {there}")
        found[name] = (variable, True)
    return found, file.close


def _by_scipy(path: Path, names: list[str]) -> dict[str, tuple[Any, bool]]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: MATLAB files older than version 7.3 need SciPy: pip install 'sciml[mat]'") from error
    try:
        found = loadmat(path, variable_names=names)
    except (MatReadError, ValueError, TypeError, OSError, EOFError, NotImplementedError) as error:
        raise UsageError(f"{path}: no MATLAB file, or one that is cut off") from error
    for name in names:
        if name not in found or found[name].dtype.kind not in "fiu":
            raise UsageError(f"{path}: no variable {name} of numbers")
    return {name: (found[name], False) for name in names}
