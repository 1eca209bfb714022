"""Affine normalisation fitted on training data only: ``encode(u) = (u - mean) / std``.

Statistics with variance 1/n, over all examples and either all grid points of a channel (``channel``: one number a
channel, which holds on every grid) or each grid point for itself (``point``: one number a channel and point, as in the
authors' code of Li et al. 2021, *Fourier Neural Operator for Parametric Partial Differential Equations*; other grids
get it by linear interpolation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from sciml.network.axes import interpolate
from sciml.ranges import Count

Chunks = Callable[[], Iterable[Tensor]]  # called once a pass: the data need not lie in memory


class Normalizer(nn.Module):
    """One mean and standard deviation a channel, as buffers, so that a checkpoint decodes without the data.

    Args:
        channels: Size of the last dimension.
        grid: Of the training fields; not needed here.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: Count, grid: tuple[Count, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(*self.kept(grid), channels))
        self.register_buffer("std", torch.ones(*self.kept(grid), channels))

    def kept(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        """The grid axes that have statistics of their own."""
        return ()

    def fit(self, data: Tensor | Chunks) -> None:
        """Set mean and standard deviation from fields ``(..., *grid, channels)``, or from chunks of them.

        A channel, or point of it, that is constant over the whole training set keeps ``std`` 1.
        """
        chunks = (lambda: [data]) if isinstance(data, Tensor) else data
        shape = self.mean.shape

        def average(f: Callable[[Tensor], Tensor]) -> Tensor:
            total, n = torch.zeros(shape, dtype=torch.float64), 0
            for chunk in chunks():
                rows = f(chunk.reshape(-1, *shape).double())
                total, n = total + rows.sum(0).to(total.device), n + len(rows)
            return total / n

        mean = average(lambda rows: rows)
        # Two passes: E[u^2] - E[u]^2 cancels for fields with a large mean.
        std = average(lambda rows: (rows - mean.to(rows.device)).square()).sqrt()
        constant = std <= 1e-12 * mean.abs()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(constant, torch.ones_like(std), std))

    def statistics(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation for fields ``(n, *grid, channels)``."""
        return self.mean, self.std

    def encode(self, u: Tensor) -> Tensor:
        """Physical to normalised, ``(..., channels)``."""
        mean, std = self.statistics(u)
        return (u - mean) / std

    def decode(self, u: Tensor) -> Tensor:
        """Normalised to physical, ``(..., channels)``."""
        mean, std = self.statistics(u)
        return u * std + mean


class PointNormalizer(Normalizer):
    """One mean and standard deviation a channel and grid point.

    Args:
        channels: Size of the last dimension.
        grid: Of the training fields, one to three axes.
    """

    def kept(self, grid: tuple[int, ...]) -> tuple[int, ...]:
        return grid

    def statistics(self, u: Tensor) -> tuple[Tensor, Tensor]:
        grid = self.mean.shape[:-1]
        if u.shape[-1 - len(grid) : -1] == grid:
            return self.mean, self.std
        to = u.shape[-1 - len(grid) : -1]
        return _resampled(self.mean, to), _resampled(self.std, to)


class NoNormalizer(Normalizer):
    """Leaves fields as they are.

    Args:
        channels: Size of the last dimension.
        grid: Of the training fields; not needed here.
    """

    def fit(self, data: Tensor | Chunks) -> None:
        pass


def _resampled(x: Tensor, grid: tuple[int, ...]) -> Tensor:
    return interpolate(x.movedim(-1, 0)[None], grid)[0].movedim(0, -1)
