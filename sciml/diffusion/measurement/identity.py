"""Every entry of the field, in order: denoising; and what sees all of another field (see ``solution``)."""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.diffusion.base import LinearMeasurement
from sciml.ranges import Count, Positive


@final
class Identity(LinearMeasurement):
    """A x = x.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        noise_std: Standard deviation of the noise.
    """

    def __init__(self, *, shape: tuple[Count, ...], noise_std: Positive) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def transpose(self, y: Tensor) -> Tensor:
        return y.reshape(-1, *self.shape)
