r"""Blur: the field weighted with a kernel around every point, the same kernel along each axis of the grid in turn.

.. math:: (A x)_i = \sum_j k_j\, x_{i + j}, \qquad
          k_j \propto e^{-j^2 / 2w^2}\ \text{(gaussian, } |j| \le \lceil 4w \rceil\text{)}, \quad
          k_j \propto 1\ \text{(box, } |j| \le (w - 1)/2\text{)}, \qquad \sum_j k_j = 1.

Beyond its ends the field is ``periodic``, mirrored at the edge between two points (``reflect``: d c b a | a b c d), or
``zero``. One small matrix for each axis, so that any boundary has its exact adjoint; on grids of up to a few hundred
points a side that is as fast as a Fourier transform.
"""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor

from sciml.diffusion.base import LinearMeasurement
from sciml.errors import ConfigError
from sciml.linalg.spectral_covariance import transform
from sciml.ranges import Count, Positive


@final
class Blur(LinearMeasurement):
    """All points of the blurred field.

    Args:
        shape: Shape of one field, ``(*grid, channels)``; channels are blurred apart.
        kernel: ``gaussian`` or ``box``.
        width: w in points: standard deviation of the Gaussian, or the odd number of points of the box.
        boundary: ``periodic``, ``reflect`` or ``zero``.
        noise_std: Standard deviation of the noise.

    Raises:
        ConfigError: The width of a box is no odd number.
    """

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        kernel: Literal["gaussian", "box"],
        width: Positive,
        boundary: Literal["periodic", "reflect", "zero"],
        noise_std: Positive,
    ) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)
        weights = _weights(kernel, width)
        for axis, n in enumerate(self.shape[:-1]):
            self.register_buffer(f"along{axis}", _matrix(weights, n, boundary), persistent=False)

    @property
    def _along(self) -> list[Tensor]:
        return [self.get_buffer(f"along{axis}") for axis in range(len(self.shape) - 1)]

    def forward(self, x: Tensor) -> Tensor:
        return transform(x, self._along).flatten(1)

    def transpose(self, y: Tensor) -> Tensor:
        return transform(y.reshape(-1, *self.shape), [matrix.T for matrix in self._along])


def _weights(kernel: str, width: float) -> Tensor:
    """The kernel ``(2 r + 1,)``, of sum 1."""
    if kernel == "gaussian":
        j = torch.arange(-math.ceil(4 * width), math.ceil(4 * width) + 1, dtype=torch.float64)
        weights = torch.exp(-(j**2) / (2 * width**2))
    elif width % 2 == 1:
        weights = torch.ones(int(width), dtype=torch.float64)
    else:
        raise ConfigError(f"measurement.width is {width}; that of a box must be an odd number")
    return weights / weights.sum()


def _matrix(weights: Tensor, n: int, boundary: str) -> Tensor:
    """The kernel around each of ``n`` points, ``(n, n)``."""
    reach = len(weights) // 2
    place = torch.arange(n)[:, None] + torch.arange(-reach, reach + 1)
    within = torch.ones_like(place, dtype=torch.bool)
    if boundary == "reflect":
        place = place % (2 * n)
        place = torch.minimum(place, 2 * n - 1 - place)
    elif boundary == "zero":
        within = (place >= 0) & (place < n)
    matrix = torch.zeros(n, n, dtype=torch.float64)
    return matrix.scatter_add_(1, place % n, torch.where(within, weights, 0.0))
