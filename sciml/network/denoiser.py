r"""Denoiser: a small U-Net on patches of the field, for noisy fields and the level of their noise.

Ho, Jain and Abbeel (2020), *Denoising Diffusion Probabilistic Models*, appendix B, in the form of Karras et al. (2022),
*Elucidating the Design Space of Diffusion-Based Generative Models*, table 7: residual blocks

.. math:: y = x + w_2 * \varphi\big((1 + s(c))\,\mathrm{norm}(w_1 * \varphi(\mathrm{norm}\,x)) + t(c)\big)

at several resolutions, the numbers c as scale and shift (FiLM), the last convolution of each block and of the network
1e-5 times its usual size at the start, so that training begins at a function of zero.

Deviations, all for the cost of a step on a CPU: the field is first cut into patches of ``patch`` points an axis, whose
points become channels (pixel unshuffle), and is put together at the end, so that nothing is computed at full
resolution; what was lost by coarsening is added, not appended; coarsening and refining are convolutions of two points
with stride two; no attention: the coarsest grid is small enough for a convolution to see all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, final

import torch
from torch import Tensor, nn

from sciml.errors import RunError
from sciml.network.axes import CONVOLUTIONS
from sciml.network.layer import activation_of
from sciml.network.patches import crop_to, divisible, pad_to, patchify, unpatchify
from sciml.network.unet import TRANSPOSED, Closed, Embeddings, check_channels
from sciml.ranges import Count, Natural, Range, Several

START = 1e-5  # of the weights that end a block, relative to torch's own


@final
class Denoiser(nn.Module):
    """The same resolution in as out, on one or two axes.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        dims: Axes of a field, 1 or 2.
        patch: Points of a patch along each axis; 1 for none.
        width: Channels at the finest resolution, that of the patches.
        multipliers: Channels of each resolution, finest first, as multiples of ``width``.
        blocks: Residual blocks of each resolution on the way down, and again on the way up.
        groups: Of the group normalisation; a divisor of ``width``.
        periodic: The axes close; otherwise there are zeros beyond the ends.
        activation: As in :mod:`sciml.network.layer`.
        conditions: How many numbers an example is conditioned on.

    Attributes:
        cell: Points an axis of the coarsest resolution's cells. A grid that is no multiple of it has zeros behind its
            ends where the axes do not close.
        spatial_dims: Axes of a field between batch and channels.
        equivariant: None for every shift: shifts by ``cell`` points are a symmetry of a periodic field.
        grid_free: A field sampled on a finer grid gives another output there.

    Raises:
        ConfigError: Unknown activation, or see :func:`sciml.network.unet.check_channels`.
    """

    equivariant: ClassVar[frozenset[str]] = frozenset()
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        dims: Annotated[int, Range(1, 2)] = 2,
        patch: Count = 2,
        width: Several = 32,
        multipliers: Sequence[Count] = (1, 2, 4),
        blocks: Count = 1,
        groups: Count = 8,
        periodic: bool = False,
        activation: str = "silu",
        conditions: Natural = 0,
    ) -> None:
        super().__init__()
        check_channels(width, multipliers, groups)
        self.dims, self.periodic, self.activation = dims, periodic, activation_of(activation)
        self.patch, self.cell = [patch] * dims, patch * 2 ** (len(multipliers) - 1)
        features = 4 * width if conditions else 0
        self.embeddings = Embeddings("denoiser", conditions, width, features, self.activation)

        def convolution(n: int, m: int) -> nn.Module:
            inner = CONVOLUTIONS[dims](n, m, 3, padding=0 if periodic else 1)
            return Closed(inner, dims, 1) if periodic else inner

        def stack(m: int, number: int = blocks) -> nn.ModuleList:
            return nn.ModuleList(
                Block(
                    convolution(m, m), _small(convolution(m, m)), groups, m, features if conditions else 0, activation
                )
                for _ in range(number)
            )

        points, channels = patch**dims, [width * factor for factor in multipliers]
        self.first = convolution(in_features * points, width)
        self.down = nn.ModuleList(stack(m) for m in channels)
        self.up = nn.ModuleList(stack(m) for m in channels)
        between = list(pairwise(channels))
        self.coarsen = nn.ModuleList(CONVOLUTIONS[dims](n, m, 2, stride=2) for n, m in between)
        self.refine = nn.ModuleList(TRANSPOSED[dims](m, n, 2, stride=2) for n, m in between)
        self.norm = nn.GroupNorm(groups, width)
        self.last = _small(convolution(width, out_features * points))
        if dims == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # fields come with their channels last

    @property
    def spatial_dims(self) -> int:
        return self.dims

    def forward(self, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Fields ``(n, *grid, in_features)``, conditions ``(n, conditions)``, to fields ``(n, *grid, out_features)``.

        Raises:
            RunError: A grid that closes and is no multiple of ``cell``, one with fewer points than it, or conditions
                where there should be none, or the other way round.
        """
        grid = u.shape[1:-1]
        size = self._size(grid)
        emb = self.embeddings(condition)
        coarse = [n // p for n, p in zip(size, self.patch, strict=True)]
        patches = patchify(u if size == list(grid) else pad_to(u, size), self.patch)
        x = self.first(patches.reshape(len(u), *coarse, -1).movedim(-1, 1))
        skips = []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, emb)
            if level < len(self.coarsen):
                skips.append(x)
                x = self.coarsen[level](x)
        for level, blocks in reversed(list(enumerate(self.up))):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, emb)
            if level:
                x = self.refine[level - 1](x) + skips.pop()
        x = self.last(self.activation(self.norm(x))).movedim(1, -1)
        points = patches.shape[1]
        whole = unpatchify(x.reshape(-1, points, x.shape[-1] // points), self.patch, size)
        return whole if size == list(grid) else crop_to(whole, grid)

    def _size(self, grid: Sequence[int]) -> list[int]:
        """Points that a grid is padded to."""
        if min(grid) < self.cell:
            raise RunError(
                f"network denoiser has cells of {self.cell} points an axis: a grid of {min(grid)} is too coarse; take a"
                " smaller network.patch or fewer network.multipliers"
            )
        size = [divisible(n, self.cell) for n in grid]
        if self.periodic and size != list(grid):
            raise RunError(
                f"network denoiser has cells of {self.cell} points an axis, which must divide a periodic grid; this one"
                f" is {tuple(grid)}"
            )
        return size


class Block(nn.Module):
    """A residual block that may be conditioned; as many channels out as in."""

    def __init__(
        self, conv1: nn.Module, conv2: nn.Module, groups: int, channels: int, features: int, activation: str
    ) -> None:
        super().__init__()
        self.conv1, self.conv2, self.activation = conv1, conv2, activation_of(activation)
        self.norm1, self.norm2 = nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels)
        self.film = nn.Linear(features, 2 * channels) if features else None

    def forward(self, x: Tensor, emb: Tensor | None) -> Tensor:
        """Channels second, ``(n, channels, *grid)``; ``emb`` ``(n, features)``."""
        h = self.norm2(self.conv1(self.activation(self.norm1(x))))
        if self.film is not None:
            scale, shift = self.film(emb)[(..., *[None] * (x.dim() - 2))].chunk(2, dim=1)
            h = torch.addcmul(h + shift, h, scale)
        return x + self.conv2(self.activation(h))


def _small(convolution: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in convolution.parameters():
            parameter.mul_(START)
    return convolution
