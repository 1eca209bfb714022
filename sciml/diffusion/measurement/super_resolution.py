r"""Super-resolution: the mean of the field over each block of ``factor`` points along every axis of the grid.

As a cell of a coarse grid holds the mean of the cells in it. With blocks of :math:`n` points :math:`A A^T = I / n`.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.diffusion.base import LinearMeasurement
from sciml.errors import ConfigError
from sciml.ranges import Count, Positive


@final
class SuperResolution(LinearMeasurement):
    """Block means; the adjoint spreads each evenly over its block.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        factor: Points of a block along each axis, a divisor of all sides of the grid.
        noise_std: Standard deviation of the noise.

    Raises:
        ConfigError: The blocks do not fill the grid.
    """

    def __init__(self, *, shape: tuple[Count, ...], factor: Count, noise_std: Positive) -> None:
        super().__init__(noise_std=noise_std)
        *grid, self.channels = shape
        if any(n % factor for n in grid):
            raise ConfigError(f"measurement.factor is {factor}; it must divide every side of the grid {tuple(grid)}")
        self.factor = factor
        self.coarse = tuple(n // factor for n in grid)

    def forward(self, x: Tensor) -> Tensor:
        for axis in range(1, len(self.coarse) + 1):
            x = x.unflatten(axis, (-1, self.factor)).mean(axis + 1)
        return x.flatten(1)

    def transpose(self, y: Tensor) -> Tensor:
        x = y.reshape(-1, *self.coarse, self.channels) / self.factor ** len(self.coarse)
        for axis in range(1, len(self.coarse) + 1):
            x = x.repeat_interleave(self.factor, axis)
        return x
