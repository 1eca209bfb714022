"""MATLAB files of Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*.

========================================  =======================================================  ==================
file                                      variables                                                parameters
========================================  =======================================================  ==================
``piececonst_r421_N1024_smooth1.mat``     ``coeff``, ``sol`` (n, x, y)                             the defaults
``burgers_data_R10.mat``                  ``a``, ``u`` (n, x): at time 0 and 1                     ``periodic: true``
``NavierStokes_V1e-5_N1200_T20.mat``      ``u`` (n, x, y, t); ``t`` (1, t); ``a`` (n, x, y) at 0   with ``times: t``
========================================  =======================================================  ==================

Either format of MATLAB files will do (:mod:`sciml.data.mat`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import final

import numpy as np

from sciml.data.mat import Variable, variables
from sciml.errors import UsageError
from sciml.operator.source.array import View
from sciml.operator.source.base import Recording, Source
from sciml.ranges import Positive


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
        length: Positive = 1.0,
    ) -> None:
        self.path, self.states, self.coefficients, self.times = Path(path), states, coefficients, times
        self.periodic, self.length = periodic, length

    def read(self) -> Recording:
        names = [name for name in (self.states, self.coefficients, self.times) if name]
        found, close = variables(self.path, names)
        try:
            return self._recording(found, close)
        except BaseException:
            close()
            raise

    def _recording(self, found: dict[str, Variable], close: Callable[[], None]) -> Recording:
        shape = found[self.states].shape
        in_time = self.times is not None
        if not 2 + in_time <= len(shape) <= 4 + in_time:
            form = "(n, *grid, times)" if in_time else "(n, *grid)"
            raise UsageError(f"{self.path}: {self.states}: shape {shape}, expected {form} with one to three space axes")
        n, grid = shape[0], shape[1 : len(shape) - in_time]
        times = None
        if self.times is not None:
            variable = found[self.times]
            times = np.asarray(variable.array[()], dtype=np.float64).reshape(-1)
            if len(times) != shape[-1]:
                raise UsageError(f"{self.path}: {self.times}: shape {variable.shape}, expected (1, {shape[-1]})")
        space = range(1, 1 + len(grid))
        order = (0, len(shape) - 1, *space, None) if in_time else (0, None, *space, None)
        states = self._view(found, self.states, order, (n, shape[-1] if in_time else 1, *grid, 1))
        given = None
        if self.coefficients is not None:
            other = found[self.coefficients].shape
            if other != (n, *grid):
                raise UsageError(f"{self.path}: {self.coefficients}: shape {other}, expected {(n, *grid)}")
            given = self._view(found, self.coefficients, (0, *space, None), (n, *grid, 1))
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

    def _view(
        self, found: dict[str, Variable], name: str, axes: tuple[int | None, ...], shape: tuple[int, ...]
    ) -> View:
        array, reverse = found[name]
        last = len(array.shape) - 1
        mine = [axis if axis is None or not reverse else last - axis for axis in axes]
        return View(array, mine, shape, f"{self.path}: {name}")
