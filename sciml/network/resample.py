"""Small convolutional networks between a grid and a coarser one, by interpolation in two steps.

Source: Cao (2021), *Choose a Transformer: Fourier or Galerkin*, section 4 (interpolation-based CNN);
author's code, ``libs/layers.py``, ``Interp2dEncoder`` and ``Interp2dUpsample``. No biases, 3 points an axis.
Deviation: a grid of n points has 1 + round((n - 1) / c) on the coarse one, and c is the square root of the whole ratio
for the step between them, where the code rounds a ratio of sizes to multiples of 0.005; both give 25 and 15 points
for 43.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.network.axes import convolution, interpolate


def coarse(grid: Sequence[int], ratio: float) -> list[int]:
    """Points of a grid with ``ratio`` times the spacing and the same ends, at least 2 an axis."""
    return [max(2, 1 + round((points - 1) / ratio)) for points in grid]


class Coarsen(nn.Module):
    """Fields to features on the coarse grid.

    Args:
        dims: Space axes.
        in_features: Input channels.
        width: Output channels, at least 3.
        ratio: Spacing of the coarse grid over that of the fine one.
        dropout: Share of channels' values that is dropped after each convolution, in training.
    """

    def __init__(self, dims: int, in_features: int, width: int, ratio: float, dropout: float) -> None:
        super().__init__()
        third = width // 3
        self.ratio, self.dropout = ratio, nn.Dropout(dropout)
        self.first = convolution(dims, in_features, width, 3, bias=False)
        self.second = convolution(dims, width, third, 3, bias=False)
        self.third = convolution(dims, third, third, 3, bias=False)
        self.fourth = convolution(dims, third, width - 2 * third, 3, bias=False)

    def forward(self, u: Tensor) -> Tensor:
        """``(n, *grid, in_features)`` to ``(n, *coarse grid, width)``."""
        grid = u.shape[1:-1]
        x = F.relu(self.dropout(self.first(u.movedim(-1, 1))))
        x = F.relu(interpolate(x, coarse(grid, math.sqrt(self.ratio))))
        parts = []
        for layer in (self.second, self.third, self.fourth):
            x = F.relu(self.dropout(layer(x)))
            parts.append(x)
        return F.relu(interpolate(torch.cat(parts, dim=1), coarse(grid, self.ratio))).movedim(1, -1)


class Refine(nn.Module):
    """Features on the coarse grid to features on the fine one.

    Args:
        dims: Space axes.
        width: Channels.
        ratio: Spacing of the coarse grid over that of the fine one.
    """

    def __init__(self, dims: int, width: int, ratio: float) -> None:
        super().__init__()
        self.ratio = ratio
        self.layer = convolution(dims, width, width, 3, bias=False)

    def forward(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        """``(n, *coarse grid, width)`` to ``(n, *grid, width)``."""
        x = interpolate(x.movedim(-1, 1), coarse(grid, math.sqrt(self.ratio)))
        x = F.silu(F.silu(self.layer(x)))  # twice, as in the author's code
        return interpolate(x, grid).movedim(1, -1)
