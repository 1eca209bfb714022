"""Affine normalisation of each channel, fitted on training data only.

``encode(u) = (u - mean) / std`` with ``mean`` and ``std`` over all examples and grid points of a channel
(variance with 1/n). One number a channel, not one a grid point, so that it holds on every grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Normalizer(nn.Module):
    """Holds ``mean`` and ``std`` as buffers, so that a checkpoint decodes without the data.

    Args:
        channels: Size of the last dimension.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))

    def fit(self, u: Tensor) -> None:
        """Set mean and standard deviation from ``u`` ``(..., channels)``.

        A channel that is constant over the whole training set keeps ``std`` 1.
        """
        rows = u.reshape(-1, u.shape[-1]).double()
        mean = rows.mean(0)
        # Two passes: E[u^2] - E[u]^2 cancels for fields with a large mean.
        std = (rows - mean).square().mean(0).sqrt()
        constant = std <= 1e-12 * mean.abs()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(constant, torch.ones_like(std), std))

    def encode(self, u: Tensor) -> Tensor:
        """Physical to normalised, ``(..., channels)``."""
        return (u - self.mean) / self.std

    def decode(self, u: Tensor) -> Tensor:
        """Normalised to physical, ``(..., channels)``."""
        return u * self.std + self.mean
