"""Your own linear forward model, a matrix from a file: y = A x, entries of x in the order of ``(*grid, channels)``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from sciml.diffusion.base import LinearMeasurement
from sciml.diffusion.observations import numbers
from sciml.errors import UsageError
from sciml.ranges import Count, Positive


@final
class Matrix(LinearMeasurement):
    """A product with each field.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        path: The file: ``.npz``, ``.npy``, a folder of these, or HDF5.
        matrix: Name of the array, ``(m, entries)``, of which a field has as many as ``shape`` says.
        noise_std: Standard deviation of the noise, in the units of y.

    Raises:
        UsageError: The file is missing or damaged, or lacks a matrix of this width.
    """

    needs_files: ClassVar[bool] = True
    a: Tensor

    def __init__(self, *, shape: tuple[Count, ...], path: str, noise_std: Positive, matrix: str = "A") -> None:
        super().__init__(noise_std=noise_std)
        self.shape, entries = tuple(shape), math.prod(shape)
        found = numbers(Path(path), [matrix])[matrix]
        if found.ndim != 2 or found.shape[1] != entries or not len(found):
            raise UsageError(
                f"{path}: {matrix}: shape {found.shape}, expected (m, {entries}): a field {self.shape} has so"
                " many entries"
            )
        self.register_buffer("a", torch.from_numpy(found.astype(np.float64)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.a.T

    def transpose(self, y: Tensor) -> Tensor:
        return (y @ self.a).reshape(-1, *self.shape)
