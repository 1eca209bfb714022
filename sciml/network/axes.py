"""Layers that torch names by the number of space axes, under one name each. Their tensors have channels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional as F

from sciml.ranges import Range

CONVOLUTIONS: dict[int, type[nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS: dict[int, type[nn.Module]] = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
MAX_POOLS: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
Axes = Annotated[int, Range(1, 3)]
LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def convolution(dims: int, n: int, m: int, kernel: int, bias: bool = True) -> nn.Module:
    """A convolution from n to m channels that keeps the grid, zeros beyond its ends; ``kernel`` is odd."""
    return CONVOLUTIONS[dims](n, m, kernel, padding=kernel // 2, bias=bias)


def interpolate(u: Tensor, size: Sequence[int]) -> Tensor:
    """Piecewise linear interpolation ``(n, channels, *grid)`` to ``(n, channels, *size)``; ends stay ends."""
    if u.shape[2:] == tuple(size):
        return u
    return F.interpolate(u, size=tuple(size), mode=LINEAR_MODES[u.ndim - 2], align_corners=True)
