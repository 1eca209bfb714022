"""Arrays of your own, in a ``.npz`` archive, a folder of ``.npy`` files or an HDF5 file (:mod:`sciml.data.arrays`).

Axes are named, in any order: ``n`` samples, ``t`` times, ``x``, ``y``, ``z`` space, ``c`` channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, final

import numpy as np

from sciml.data.arrays import arrays, each
from sciml.errors import ConfigError, UsageError
from sciml.operator.source.array import View
from sciml.operator.source.base import Recording, Source
from sciml.ranges import Positive

Axis = Literal["n", "t", "x", "y", "z", "c"]
_SPACE = ("x", "y", "z")


@final
class Arrays(Source):
    """States, and what they were computed from.

    Args:
        path: Of the archive, folder or HDF5 file.
        states: Array of the states.
        axes: Of the states: ``n``, the space axes ``x``, then ``y`` and ``z`` as far as there are, and, where they have
            such axes, ``t`` and ``c``; in the array's order.
        coefficients: Array of what a sample was computed from and does not change in time; null for none.
        coefficient_axes: Of that array; null: those of the states without ``t``.
        times: Array of the times of the states; null if unknown, or if each sample has one state.
        coordinates: Arrays of the coordinates, one a space axis; null for evenly spaced points.
        length: Of each space axis whose points are not given, or of all.
        periodic: Whether the point after the last is the first, of each space axis or of all.
        ends: The first and the last point of an axis that is not periodic are its two ends; false for cell centres.

    Raises:
        ConfigError: The axes are none that samples on a grid could have.
    """

    def __init__(
        self,
        *,
        path: str,
        states: str,
        axes: Sequence[Axis],
        periodic: bool | Sequence[bool],
        coefficients: str | None = None,
        coefficient_axes: Sequence[Axis] | None = None,
        times: str | None = None,
        coordinates: Sequence[str] | None = None,
        length: Positive | Sequence[Positive] = 1.0,
        ends: bool = True,
    ) -> None:
        self.path, self.states, self.coefficients, self.times, self.ends = Path(path), states, coefficients, times, ends
        self.axes = _checked("axes", axes)
        self.space = tuple(axis for axis in _SPACE if axis in self.axes)
        given = [axis for axis in self.axes if axis != "t"] if coefficient_axes is None else coefficient_axes
        self.coefficient_axes = _checked("coefficient_axes", given)
        if "t" in self.coefficient_axes or not set(self.space) == set(self.coefficient_axes) - {"n", "c"}:
            raise ConfigError(
                f"source.coefficient_axes is {list(given)}: n, {', '.join(self.space)} and perhaps c, in some order"
            )
        if times is not None and "t" not in self.axes:
            raise ConfigError(f"source.times is {times}, but no axis of source.axes is t")
        self.coordinates = each("source.coordinates", coordinates or None, len(self.space))
        self.length = each("source.length", length, len(self.space))
        self.periodic = each("source.periodic", periodic, len(self.space))

    def read(self) -> Recording:
        names = [name for name in (self.states, self.coefficients, self.times, *self.coordinates) if name is not None]
        found, close = arrays(self.path, names)
        try:
            return self._recording(found, close)
        except BaseException:
            close()
            raise

    def _recording(self, found: dict[str, Any], close: Callable[[], None]) -> Recording:
        states = self._view(self.states, found[self.states], self.axes, ("n", "t", *self.space, "c"))
        grid = states.shape[2:-1]
        given = None
        if self.coefficients is not None:
            order = ("n", *self.space, "c")
            given = self._view(self.coefficients, found[self.coefficients], self.coefficient_axes, order)
            if given.shape[:-1] != (states.shape[0], *grid):
                raise UsageError(
                    f"{self.path}: {self.coefficients}: {given.shape[0]} samples of {given.shape[1:-1]} points,"
                    f" expected {states.shape[0]} of {grid} as {self.states} has"
                )
        return Recording(
            name=str(self.path),
            states=states,
            coefficients=given,
            times=None if self.times is None else self._increasing(self.times, found, states.shape[1]),
            coordinates=tuple(self._coordinate(axis, found, points) for axis, points in enumerate(grid)),
            periodic=self.periodic,
            ends=self.ends,
            close=close,
        )

    def _view(self, name: str, array: Any, mine: tuple[str, ...], order: Sequence[str]) -> View:
        if len(array.shape) != len(mine):
            raise UsageError(f"{self.path}: {name}: shape {tuple(array.shape)}, expected ({', '.join(mine)})")
        axes = [mine.index(axis) if axis in mine else None for axis in order]
        shape = [1 if axis is None else array.shape[axis] for axis in axes]
        return View(array, axes, shape, f"{self.path}: {name}")

    def _coordinate(self, axis: int, found: dict[str, Any], points: int) -> np.ndarray:
        if self.coordinates[axis] is not None:
            return self._increasing(self.coordinates[axis], found, points)
        if self.periodic[axis] or self.ends:
            return np.linspace(0, self.length[axis], points, endpoint=not self.periodic[axis])
        return (np.arange(points) + 0.5) * (self.length[axis] / points)

    def _increasing(self, name: str, found: dict[str, Any], size: int) -> np.ndarray:
        values = np.asarray(found[name][()], dtype=np.float64)
        if values.shape != (size,):
            raise UsageError(f"{self.path}: {name}: shape {values.shape}, expected ({size},)")
        if not (np.diff(values) > 0).all():
            raise UsageError(f"{self.path}: {name} must increase from each entry to the next")
        return values


def _checked(key: str, axes: Sequence[str]) -> tuple[str, ...]:
    space = [axis for axis in axes if axis in _SPACE]
    if len(set(axes)) < len(axes) or "n" not in axes or not space or sorted(space) != list(_SPACE[: len(space)]):
        raise ConfigError(
            f"source.{key} is {list(axes)}: n, x (then y, z), and t and c where there are such axes, each once"
        )
    return tuple(axes)
