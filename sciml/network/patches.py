"""Fields cut into patches and put together again, and grids made divisible. Channels are last."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F


def patchify(u: Tensor, patch: Sequence[int]) -> Tensor:
    """A field ``(n, *grid, channels)`` as patches ``(n * patches, points of a patch, channels)``.

    Args:
        u: The field; every side of its grid is a multiple of the patch's.
        patch: Points of a patch along each axis.
    """
    counts = [size // side for size, side in zip(u.shape[1:-1], patch, strict=True)]
    split = [part for pair in zip(counts, patch, strict=True) for part in pair]
    dims = len(counts)
    order = [0, *range(1, 2 * dims, 2), *range(2, 2 * dims + 1, 2), 2 * dims + 1]
    u = u.reshape(len(u), *split, u.shape[-1]).permute(order)
    return u.reshape(-1, math.prod(patch), u.shape[-1])


def unpatchify(x: Tensor, patch: Sequence[int], grid: Sequence[int]) -> Tensor:
    """The inverse of :func:`patchify`: ``(n * patches, points of a patch, channels)`` to ``(n, *grid, channels)``."""
    counts = [size // side for size, side in zip(grid, patch, strict=True)]
    dims = len(counts)
    x = x.reshape(-1, *counts, *patch, x.shape[-1])
    order = [0, *(axis for i in range(dims) for axis in (1 + i, 1 + dims + i)), 2 * dims + 1]
    return x.permute(order).reshape(len(x), *grid, x.shape[-1])


def pad_to(u: Tensor, size: Sequence[int]) -> Tensor:
    """A field ``(n, *grid, channels)`` with zeros behind the end of each axis, ``(n, *size, channels)``."""
    missing = [wanted - there for wanted, there in zip(size, u.shape[1:-1], strict=True)]
    return F.pad(u, [0, 0, *(part for extra in reversed(missing) for part in (0, extra))])


def crop_to(u: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size`` points of each axis of ``(n, *grid, channels)``; undoes :func:`pad_to` for every amount."""
    return u[(slice(None), *(slice(0, points) for points in size))]


def divisible(size: int, factor: int) -> int:
    """The smallest multiple of ``factor`` that is not below ``size``."""
    return -(-size // factor) * factor
