r"""Latent Spectral Models: a U-shaped network whose scales are projected to a few latent tokens a patch.

A scale is cut into patches. In every patch learnt queries :math:`T^0` attend to its points :math:`x` (encoder), the
tokens go through a residual expansion in trigonometric functions with learnt coefficients for each channel (neural
spectral block), and the points attend to the tokens (decoder):

.. math::
    T &= T^0 + \mathrm{softmax}(T^0 (x W_K)^\top)\, x W_V, \\
    T' &= T + \sum_{k<N} \alpha_k \odot \sin(\pi k T / N) + \beta_k \odot \cos(\pi k T / N), \\
    x' &= x + \mathrm{softmax}(x W_Q T'^\top)\, T' ,

in several heads, without the usual division by the root of the width. Scales are made by max pooling and two
convolutions, and joined from the coarsest up by linear interpolation and two convolutions on both.

Source: Wu, Hu, Luo, Wang and Long (2023), *Solving High-Dimensional PDEs with Latent Spectral Models*, ICML, section 3
(hierarchical projection, neural spectral block) and the authors' code, ``models/LSM_2D.py``. Frequencies
:math:`\pi k / N`, k from 0, are the code's; sin at k = 0 adds nothing and cos at k = 0 is the constant term.
Deviations: positions are input channels that the caller adds; a grid is padded with zeros up to the next size that
every scale and patch divides, and cut back by slices, where the code is told how much to pad; any number of scales;
``group`` normalisation as an alternative to the code's batch normalisation, which cannot be trained on several
devices; one to three axes alike. Training on a CPU takes the expansion as one operation (:mod:`sciml.kernel.series`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.kernel.series import series
from sciml.network.axes import BATCH_NORMS, CONVOLUTIONS, MAX_POOLS, convolution, interpolate
from sciml.network.patches import crop_to, divisible, pad_to, patchify, unpatchify
from sciml.ranges import Count

NORMS = ("batch", "group")


class LSM(nn.Module):
    """A U-shaped network with a latent spectral block at every scale.

    Args:
        in_features: Input channels, positions among them where they matter.
        out_features: Output channels.
        patch: Points of a patch along each space axis, the same at every scale.
        width: Channels of the finest scale, a multiple of ``heads``; they double to the last but one scale.
        scales: Number of scales, each with half the points of the one before.
        tokens: Latent tokens of a patch.
        basis: N, number of frequencies.
        heads: Attention heads.
        hidden: Width of the last hidden layer.
        norm: ``batch``, or ``group``: each example by itself, all channels and points together.

    Attributes:
        equivariant: Symmetries that it has by construction.
        grid_free: A field sampled on a finer grid gives another output there: patches are counted in points.

    Raises:
        ConfigError: An unknown ``norm``, a width that the heads do not divide, more than 3 axes.
    """

    equivariant: ClassVar[frozenset[str]] = frozenset()
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        patch: Sequence[Count] = (6, 6),
        width: Count = 64,
        scales: Count = 5,
        tokens: Count = 4,
        basis: Count = 12,
        heads: Count = 8,
        hidden: Count = 128,
        norm: str = "batch",
    ) -> None:
        super().__init__()
        if len(patch) not in CONVOLUTIONS:
            raise ConfigError(f"network.patch: {len(patch)} space axes; there are networks for 1, 2 and 3")
        if width % heads:
            raise ConfigError(f"network.width is {width}; {heads} heads do not divide it")
        if norm not in NORMS:
            raise ConfigError(f"network.norm: unknown '{norm}'; one of {', '.join(NORMS)}")
        self.patch = tuple(patch)
        dims = self.spatial_dims
        # The last scale has as many channels as the one before: interpolation does not reduce them.
        widths = [width * 2 ** min(level, max(scales - 2, 0)) for level in range(scales)]
        self.lift = nn.Linear(in_features, width)
        self.first = _double(dims, width, width, width, norm)
        self.down = nn.ModuleList(
            nn.Sequential(MAX_POOLS[dims](2), _double(dims, n, m, m, norm)) for n, m in pairwise(widths)
        )
        self.latent = nn.ModuleList(
            LatentSpectralBlock(m, patch=self.patch, tokens=tokens, basis=basis, heads=heads) for m in widths
        )
        self.up = nn.ModuleList()  # from the coarsest; a scale passes half of its channels on, the finest all
        below = widths[-1]
        for level in reversed(range(scales - 1)):
            there = widths[level]
            out = there // 2 if level else there
            self.up.append(_double(dims, there + below, (there + below) // 2, out, norm))
            below = out
        self.mix = nn.Linear(width, width)
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, out_features)

    @property
    def spatial_dims(self) -> int:
        """Axes of a field between batch and channels."""
        return len(self.patch)

    def padded(self, grid: Sequence[int]) -> list[int]:
        """The grid that is computed on: the next one whose every scale is cut into whole patches."""
        coarsest = 2 ** (len(self.latent) - 1)
        return [divisible(size, side * coarsest) for size, side in zip(grid, self.patch, strict=True)]

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(n, *grid, in_features)`` to ``(n, *grid, out_features)``, on any grid."""
        grid = u.shape[1:-1]
        x = pad_to(self.lift(u), self.padded(grid))
        scales = [self.first(x.movedim(-1, 1))]
        for down in self.down:
            scales.append(down(scales[-1]))
        scales = [block(x.movedim(1, -1)).movedim(-1, 1) for block, x in zip(self.latent, scales, strict=True)]
        x = scales.pop()
        for up in self.up:
            beside = scales.pop()
            x = up(torch.cat([beside, interpolate(x, beside.shape[2:])], dim=1))
        x = crop_to(self.mix(x.movedim(1, -1)), grid)
        return self.out(F.gelu(self.hidden(x)))


class LatentSpectralBlock(nn.Module):
    """Points of a patch to latent tokens, a trigonometric expansion of these, and back; residual.

    Args:
        width: Channels of the field, a multiple of ``heads``.
        patch: Points of a patch along each axis.
        tokens: Latent tokens of a patch.
        basis: Number of frequencies.
        heads: Attention heads.
    """

    def __init__(self, width: int, *, patch: Sequence[int], tokens: int, basis: int, heads: int) -> None:
        super().__init__()
        self.patch, self.basis, self.heads = tuple(patch), basis, heads
        self.queries = nn.Parameter(torch.rand(heads, tokens, width // heads) / width)
        self.key_value = nn.Linear(width, 2 * width)
        self.coefficients = nn.Parameter(torch.rand(2, basis, width) / width)  # of sin and cos
        self.query = nn.Linear(width, width)

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(n, *grid, width)``, every side of the grid a multiple of the patch's."""
        x = patchify(u, self.patch)
        return unpatchify(self.decode(x, self.expand(self.encode(x))), self.patch, u.shape[1:-1])

    def encode(self, x: Tensor) -> Tensor:
        """Points ``(patches, points, width)`` to tokens ``(patches, heads, tokens, width / heads)``."""
        key, value = (self._split(part) for part in self.key_value(x).chunk(2, dim=-1))
        return self.queries + torch.softmax(self.queries @ key.mT, dim=-1) @ value

    def expand(self, tokens: Tensor) -> Tensor:
        """The neural spectral block on ``(patches, heads, tokens, width / heads)``."""
        coefficients = self.coefficients.reshape(2, self.basis, 1, self.heads, 1, -1)
        spread = coefficients.expand(-1, -1, -1, -1, tokens.shape[2], -1)
        found = series(tokens.flatten(1), spread.flatten(2), math.pi / self.basis)
        if found is not None:
            return tokens + found.view_as(tokens)
        sine, cosine = coefficients
        # All frequencies in one tensor: a coarse scale has few tokens, and a call takes longer than its numbers.
        k = torch.arange(self.basis, dtype=tokens.dtype, device=tokens.device).view(-1, 1, 1, 1, 1)
        angle = k * (math.pi / self.basis) * tokens
        return tokens + torch.addcmul(sine * angle.sin(), cosine, angle.cos()).sum(dim=0)

    def decode(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Points ``(patches, points, width)`` with what they read from the tokens added."""
        read = torch.softmax(self._split(self.query(x)) @ tokens.mT, dim=-1) @ tokens
        return x + read.transpose(1, 2).flatten(2)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def _double(dims: int, n: int, middle: int, m: int, norm: str) -> nn.Sequential:
    """Two convolutions over three points an axis, each normalised and rectified."""
    layers = []
    for a, b in ((n, middle), (middle, m)):
        layers += [convolution(dims, a, b, 3, bias=False), _norm(dims, b, norm), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def _norm(dims: int, channels: int, norm: str) -> nn.Module:
    return BATCH_NORMS[dims](channels) if norm == "batch" else nn.GroupNorm(1, channels)
