r"""From the source to the solution of :math:`\Delta u + k^2 u = f`, u = 0 on the boundary; for k = 0 that of Poisson.

On n + 1 nodes of each axis of a unit cube, both ends included, h = 1 / n, the scheme of second order (five points on a
square) is diagonal in products of sines :math:`\sin \pi m j h`, with the eigenvalues

.. math:: k^2 - \sum_{axes} \Big(\frac{2}{h} \sin\frac{\pi m h}{2}\Big)^2 .

Signs, grid and scheme are those of the data of Huang et al. (2024), *DiffusionPDE*. The map is symmetric, so that it is
its own transpose; sources on the boundary do nothing.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sciml.diffusion.solution.base import LinearSolution
from sciml.errors import ConfigError
from sciml.linalg.spectral_covariance import transform
from sciml.ranges import Count, Positive


@final
class Helmholtz(LinearSolution):
    """Any number of axes.

    Args:
        shape: Of a field, ``(*grid, 1)``, three nodes or more along each axis.
        k: Wave number on the unit cube.
        scale: What u is multiplied by.

    Raises:
        ConfigError: There are too few nodes or several channels, or :math:`-k^2` is an eigenvalue.
    """

    inverse: Tensor

    def __init__(self, *, shape: tuple[Count, ...], k: float, scale: Positive = 1.0) -> None:
        super().__init__()
        *grid, channels = shape
        if min(grid) < 3 or channels != 1:
            raise ConfigError(f"solution helmholtz needs fields (*grid, 1) of 3 nodes or more, not {tuple(shape)}")
        eigenvalues = torch.full((1,), k**2, dtype=torch.float64)
        for axis, nodes in enumerate(grid):
            n = nodes - 1
            m = torch.arange(1, n, dtype=torch.float64)
            eigenvalues = eigenvalues[..., None] - (2 * n * torch.sin(math.pi / (2 * n) * m)).square()
            sines = math.sqrt(2 / n) * torch.sin(math.pi / n * torch.outer(m, torch.arange(n + 1)))
            sines[:, [0, -1]] = 0  # sin pi m is not quite
            self.register_buffer(f"sines{axis}", sines, persistent=False)
        if k and eigenvalues.abs().min() < 1e-9 * k**2:
            raise ConfigError(f"solution.k is {k:g}: minus its square is an eigenvalue of the scheme")
        self.register_buffer("inverse", scale / eigenvalues[0][..., None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        sines = [self.get_buffer(f"sines{axis}") for axis in range(self.inverse.ndim - 1)]
        return transform(self.inverse * transform(x, sines), [s.T for s in sines])

    def transpose(self, u: Tensor) -> Tensor:
        return self(u)
