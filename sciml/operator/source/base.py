"""What a file or a simulation holds, in one form: states over time, what they were computed from, and where they lie.

Every source of data says what it has in these words and reads nothing before it is asked to; which samples, frames
and grid points become training examples is decided in one place, :mod:`sciml.operator.dataset.recorded`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from sciml.errors import RunError

Index = tuple[slice, ...]


class Array(Protocol):
    """Numbers that may lie in a file: a NumPy array is one, and so is an HDF5 dataset.

    ``array[a, b, ...]`` with a slice of positive step for each of the first axes reads that part and nothing else; axes
    that are not named are read whole.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, index: Index, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Recording:
    """Samples of one system, all on the same grid and at the same times.

    Attributes:
        name: What messages call it: the file, or the simulation.
        states: ``(n, times, *grid, channels)``.
        coefficients: ``(n, *grid, channels)``: what a sample was computed from and does not change in time, such as
            a permeability; None if there is none.
        times: ``(times,)``, in the system's unit; None if unknown, or if the states are solutions of a steady problem.
        coordinates: One array a space axis, ``(points,)``.
        periodic: For each space axis: the point after the last one is the first.
        ends: Of axes that are not periodic, the first and the last point are the two ends. False where they are the
            centres of cells, or where only one end is a point.
        close: Gives back the file; nothing can be read afterwards.
    """

    name: str
    states: Array
    coefficients: Array | None
    times: np.ndarray | None
    coordinates: tuple[np.ndarray, ...]
    periodic: tuple[bool, ...]
    ends: bool = True
    close: Callable[[], None] = lambda: None


class Source(ABC):
    """Where samples come from."""

    @abstractmethod
    def read(self) -> Recording:
        """Open it. Shapes are checked here, numbers as they are read.

        Raises:
            UsageError: There is nothing of the declared form: no such file, another layout, other shapes. The message
                names the file, the array and the shape that it should have.
            RunError: It cannot be made.
        """

    def advance(self, u: Tensor, dt: float) -> Tensor:
        """States ``(n, *grid, channels)`` a time dt later, by the solver that made the samples.

        Of coefficients, the solutions; dt is then 0.

        Raises:
            RunError: There is none.
        """
        raise RunError(f"source {type(self).__name__} has no solver, so it has no exact row")
