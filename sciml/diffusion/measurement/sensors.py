r"""Your own sensors: the field at any positions, between the points of the grid too, from a file.

.. math:: (A x)_i = \sum_{c \in \{0, 1\}^d} \prod_k \big(c_k t_{ik} + (1 - c_k)(1 - t_{ik})\big)\, x_{j_i + c}

with the cell :math:`j_i` of the grid that position i is in and its place :math:`t_i \in [0, 1]^d` there: linear along
each axis, exact at the points of the grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from sciml.data.arrays import each
from sciml.diffusion.base import LinearMeasurement
from sciml.diffusion.observations import numbers
from sciml.errors import ConfigError, UsageError
from sciml.ranges import Count, Positive


@final
class Sensors(LinearMeasurement):
    """Reads channels at positions; the i-th number is that of the i-th position.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        path: The file: ``.npz``, ``.npy``, a folder of these, or HDF5.
        positions: Name of the array of coordinates, ``(m, axes)``; ``(m,)`` where there is one axis.
        channel: Name of the array of the channels that are read, ``(m,)``, counted from 0; null: the first.
        lower: Coordinate of the first point of each axis, or of all.
        upper: Of the last point; of a periodic axis, of the one after it, which is the first again.
        periodic: Whether the point after the last is the first, of each axis or of all.
        noise_std: Standard deviation of the noise, in the units of y.

    Raises:
        ConfigError: An entry for an axis is missing, or an axis has no length.
        UsageError: The file is missing or damaged, lacks an array, or has positions outside of the grid or channels
            that are not there.
    """

    needs_files: ClassVar[bool] = True
    index: Tensor
    weight: Tensor

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        path: str,
        noise_std: Positive,
        positions: str = "positions",
        channel: str | None = None,
        lower: float | Sequence[float] = 0.0,
        upper: float | Sequence[float] = 1.0,
        periodic: bool | Sequence[bool] = False,
    ) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)
        *grid, channels = self.shape
        found = numbers(Path(path), [positions] if channel is None else [positions, channel])
        where = found[positions].astype(np.float64)
        where = where[:, None] if where.ndim == 1 and len(grid) == 1 else where
        if where.ndim != 2 or where.shape[1] != len(grid) or not len(where):
            axes = f"(m, {len(grid)})" + (" or (m,)" if len(grid) == 1 else "")
            raise UsageError(
                f"{path}: {positions}: shape {found[positions].shape}, expected {axes}: a grid of {tuple(grid)} points"
                f" has {len(grid)} axes"
            )
        low, high, closed = (
            each(f"measurement.{name}", value, len(grid))
            for name, value in (("lower", lower), ("upper", upper), ("periodic", periodic))
        )
        read = np.zeros(len(where), dtype=np.int64) if channel is None else found[channel]
        if read.shape != (len(where),) or not np.isin(read, range(channels)).all():
            raise UsageError(
                f"{path}: {channel}: expected {len(where)} channels, one for each position, out of 0 to {channels - 1}"
            )
        corners = [
            _along(where[:, k], grid[k], low[k], high[k], closed[k], f"{path}: {positions}, axis {k}")
            for k in range(len(grid))
        ]
        index, weight = [], []
        for corner in itertools.product((0, 1), repeat=len(grid)):
            points = np.ravel_multi_index([corners[k][0][c] for k, c in enumerate(corner)], tuple(grid))
            index.append(points * channels + read.astype(np.int64))
            weight.append(np.prod([corners[k][1][c] for k, c in enumerate(corner)], axis=0))
        self.register_buffer("index", torch.from_numpy(np.stack(index, 1)), persistent=False)
        self.register_buffer("weight", torch.from_numpy(np.stack(weight, 1)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1)[:, self.index] * self.weight).sum(-1)

    def transpose(self, y: Tensor) -> Tensor:
        field = y.new_zeros(y.shape[0], torch.Size(self.shape).numel())
        parts = (y[..., None] * self.weight).flatten(1)
        return field.index_add(1, self.index.flatten(), parts).reshape(-1, *self.shape)


def _along(
    position: np.ndarray, n: int, low: float, high: float, closed: bool, what: str
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """The two points of one axis around each position, and their weights."""
    if not low < high:
        raise ConfigError(f"measurement.upper is {high} and measurement.lower {low}; the upper end must be the larger")
    place = (position - low) / (high - low) * (n if closed else n - 1)
    rounding = 1e-9 * n
    outside = (place < -rounding) | (place > (n if closed else n - 1) + rounding)
    if outside.any():
        i = int(outside.argmax())
        raise UsageError(
            f"{what}: {position[i]:g} at row {i} is outside of the grid, which goes from {low:g} to {high:g}"
            " (measurement.lower, measurement.upper)"
        )
    place = place.clip(0, n if closed else n - 1)
    cell = np.floor(place).astype(np.int64).clip(0, n - 1 if closed else max(n - 2, 0))
    t = place - cell
    after = (cell + 1) % n if closed else (cell + 1).clip(max=n - 1)
    return (cell, after), (1 - t, t)
