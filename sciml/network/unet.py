r"""U-Net: residual blocks at several resolutions, what was lost by coarsening carried across.

Ronneberger, Fischer and Brox (2015), *U-Net: Convolutional Networks for Biomedical Image Segmentation*, in the modern
form of Gupta and Brandstetter (2022), *Towards Multi-spatiotemporal-scale Generalized PDE Modeling* (``Unetmod`` of
PDEArena; its 144 million parameters are those of ``width: 64, multipliers: [1, 2, 4, 16]`` in two dimensions): wide
residual blocks

.. math:: h = w_1 * \varphi(\mathrm{norm}\,x), \quad
    h \leftarrow (1 + s(c))\,\mathrm{norm}\,h + t(c), \quad y = W x + w_2 * \varphi(h),

coarsened by convolutions with stride 2, refined by transposed ones, every block and every coarsening with its skip.
Conditions (a refinement step, a physical parameter) enter as the scale s and the shift t (FiLM; ``adagn`` there), one
sinusoidal embedding a number: :math:`\cos, \sin(c\,10000^{-i/n}),\ i = 0, \dots, n - 1`.

Deviations from PDEArena: no weights start at zero, so that every one learns from the first step; where axes are
periodic the transposed convolutions are, too (theirs see zeros beyond the ends); any grid is padded to a multiple of
the coarsest cell, around the field where it is periodic and with its end values where it is not, and cropped again;
no attention.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError, RunError
from sciml.network.axes import CONVOLUTIONS
from sciml.ranges import Count, Natural, Range, Several

TRANSPOSED: dict[int, type[nn.Module]] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d}
Activation = Callable[[Tensor], Tensor]
ACTIVATIONS: dict[str, Activation] = {"gelu": F.gelu, "silu": F.silu, "relu": F.relu}


class UNet(nn.Module):
    """The same resolution in as out, on one or two axes.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        dims: Axes of a field, 1 or 2.
        width: Channels at the finest resolution.
        multipliers: Channels of each resolution, finest first, as multiples of ``width``.
        blocks: Residual blocks of each resolution on the way down; one more on the way up.
        groups: Of the group normalisation in the blocks; a divisor of ``width``.
        periodic: The axes close, as the points of a circle; otherwise there are zeros beyond the ends.
        activation: ``gelu``, ``silu`` or ``relu``.
        conditions: How many numbers an example is conditioned on.

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: None for every shift: shifts by ``2 ** (len(multipliers) - 1)`` points are a symmetry of a periodic
            field whose grid is a multiple of that.
        grid_free: A field sampled on a finer grid gives another output there.

    Raises:
        ConfigError: Unknown activation, or see :func:`check_channels`.
    """

    equivariant: ClassVar[frozenset[str]] = frozenset()
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        dims: Annotated[int, Range(1, 2)] = 2,
        width: Several = 64,
        multipliers: Sequence[Count] = (1, 2, 4, 16),
        blocks: Count = 2,
        groups: Count = 1,
        periodic: bool = False,
        activation: str = "gelu",
        conditions: Natural = 0,
    ) -> None:
        super().__init__()
        check_channels(width, multipliers, groups)
        if activation not in ACTIVATIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(ACTIVATIONS))}")
        self.dims, self.periodic, self.activation = dims, periodic, ACTIVATIONS[activation]
        self.cell = 2 ** (len(multipliers) - 1)
        embedding = 4 * width if conditions else 0
        self.embeddings = Embeddings("unet", conditions, width, embedding, self.activation)

        def convolution(n: int, m: int, kernel: int, stride: int = 1) -> nn.Module:
            reach = kernel // 2
            inner = CONVOLUTIONS[dims](n, m, kernel, stride=stride, padding=0 if periodic else reach)
            return Closed(inner, dims, reach) if periodic and reach else inner

        def block(n: int, m: int) -> Block:
            return Block(
                convolution(n, m, 3),
                convolution(m, m, 3),
                nn.Identity() if n == m else convolution(n, m, 1),
                nn.GroupNorm(groups, n),
                nn.GroupNorm(groups, m),
                nn.Linear(embedding, 2 * m) if conditions else None,
                self.activation,
            )

        channels = [width * factor for factor in multipliers]
        self.first = convolution(in_features, width, 3)
        self.down, self.coarsen, skips, n = nn.ModuleList(), nn.ModuleList(), [width], width
        for level, m in enumerate(channels):
            self.down.append(nn.ModuleList(block(n if i == 0 else m, m) for i in range(blocks)))
            skips += [m] * blocks
            n = m
            if level + 1 < len(channels):
                self.coarsen.append(convolution(m, m, 3, stride=2))
                skips.append(m)
        self.middle = nn.ModuleList(block(n, n) for _ in range(2))
        self.up, self.refine = nn.ModuleList(), nn.ModuleList()
        # The last block of a resolution already has the channels of the next finer one.
        for m, finer in pairwise([*reversed(channels), width]):
            self.up.append(nn.ModuleList(block(m + skips.pop(), m if i < blocks else finer) for i in range(blocks + 1)))
            if skips:
                self.refine.append(Refine(dims, finer, periodic=periodic))
        self.norm = nn.GroupNorm(8 if width % 8 == 0 else groups, width)
        self.last = convolution(width, out_features, 3)

    @property
    def spatial_dims(self) -> int:
        return self.dims

    def forward(self, u: Tensor, condition: Tensor | None = None) -> Tensor:
        """Fields ``(n, *grid, in_features)``, conditions ``(n, conditions)``, to fields ``(n, *grid, out_features)``.

        Raises:
            RunError: A grid of fewer points than the coarsest cell has, or conditions where there should be none, or
                the other way round.
        """
        grid = u.shape[1:-1]
        if min(grid) < self.cell:
            raise RunError(f"network unet halves the grid to 1/{self.cell}: a grid of {min(grid)} points is too coarse")
        emb = self.embeddings(condition)
        x = self.first(self._padded(u.movedim(-1, 1)))
        skips = [x]
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, emb)
                skips.append(x)
            if level < len(self.coarsen):
                x = self.coarsen[level](x)
                skips.append(x)
        for block in self.middle:
            x = block(x, emb)
        for level, blocks in enumerate(self.up):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(torch.cat([x, skips.pop()], dim=1), emb)
            if level < len(self.refine):
                x = self.refine[level](x)
        x = self.last(self.activation(self.norm(x)))
        return self._cropped(x, grid).movedim(1, -1)

    def _padding(self, grid: Sequence[int]) -> list[tuple[int, int]]:
        """Points before and after each axis, to a multiple of the coarsest cell."""
        missing = [-n % self.cell for n in grid]
        return [(m // 2, m - m // 2) for m in missing]

    def _padded(self, x: Tensor) -> Tensor:
        padding = self._padding(x.shape[2:])
        if not any(map(any, padding)):
            return x.contiguous() if self.dims == 1 else x
        flat = [number for pair in reversed(padding) for number in pair]  # F.pad begins with the last axis
        return F.pad(x, flat, mode="circular" if self.periodic else "replicate")

    def _cropped(self, x: Tensor, grid: Sequence[int]) -> Tensor:
        inside = [slice(before, before + n) for (before, _), n in zip(self._padding(grid), grid, strict=True)]
        return x[(slice(None), slice(None), *inside)]


class Block(nn.Module):
    """A residual block that may be conditioned."""

    def __init__(
        self,
        conv1: nn.Module,
        conv2: nn.Module,
        shortcut: nn.Module,
        norm1: nn.Module,
        norm2: nn.Module,
        film: nn.Module | None,
        activation: Activation,
    ) -> None:
        super().__init__()
        self.conv1, self.conv2, self.shortcut = conv1, conv2, shortcut
        self.norm1, self.norm2, self.film, self.activation = norm1, norm2, film, activation

    def forward(self, x: Tensor, emb: Tensor | None) -> Tensor:
        """Channels second, ``(n, channels, *grid)``; ``emb`` ``(n, features)``."""
        h = self.norm2(self.conv1(self.activation(self.norm1(x))))
        if self.film is not None:
            scale, shift = self.film(emb)[(..., *[None] * (x.dim() - 2))].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return self.shortcut(x) + self.conv2(self.activation(h))


class Closed(nn.Module):
    """A convolution on a circle or a torus."""

    def __init__(self, convolution: nn.Module, axes: int, reach: int) -> None:
        super().__init__()
        self.convolution, self.axes, self.reach = convolution, axes, reach

    def forward(self, x: Tensor) -> Tensor:
        return self.convolution(closed(x, self.axes, self.reach))


def closed(x: Tensor, axes: int, reach: int) -> Tensor:
    """That many points of the other end at both ends of each of the last axes.

    ``F.pad`` does the same, and its gradient takes longer on small fields.
    """
    for axis in range(x.dim() - axes, x.dim()):
        n = x.shape[axis]
        x = torch.cat([x.narrow(axis, n - reach, reach), x, x.narrow(axis, 0, reach)], dim=axis)
    return x


class Refine(nn.Module):
    """Twice the points: a transposed convolution, kernel 4, each output from the two nearest points an axis."""

    def __init__(self, dims: int, channels: int, *, periodic: bool) -> None:
        super().__init__()
        self.periodic, self.axes = periodic, dims
        self.convolution = TRANSPOSED[dims](channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, *grid)`` to ``(n, channels, *[2 * points for points in grid])``."""
        if not self.periodic:
            return self.convolution(x)
        wide = self.convolution(closed(x, self.axes, 1))
        return wide[(..., *[slice(2, -2)] * self.axes)]


class Embedding(nn.Module):
    """Features of one number for each example."""

    def __init__(self, width: int, features: int, activation: Activation) -> None:
        super().__init__()
        self.frequencies = [10000 ** (-i / (width // 2)) for i in range(width // 2)]
        self.first, self.second = nn.Linear(2 * len(self.frequencies), features), nn.Linear(features, features)
        self.activation = activation

    def forward(self, c: Tensor) -> Tensor:
        """``(n,)`` to ``(n, features)``."""
        phase = c[:, None] * c.new_tensor(self.frequencies)
        return self.second(self.activation(self.first(torch.cat([phase.cos(), phase.sin()], dim=-1))))


class Embeddings(nn.ModuleList):
    """Features of all numbers that an example is conditioned on: the sum of those of each.

    Args:
        network: The name for errors.
        conditions: How many numbers.
        width: Twice the frequencies of each, to the integer below.
        features: Of the sum.
        activation: Of each embedding.
    """

    def __init__(self, network: str, conditions: int, width: int, features: int, activation: Activation) -> None:
        super().__init__(Embedding(width, features, activation) for _ in range(conditions))
        self.network = network

    def forward(self, condition: Tensor | None) -> Tensor | None:
        """``(n, conditions)`` to ``(n, features)``, and None to None where there are no conditions.

        Raises:
            RunError: Another number of conditions is given.
        """
        given = 0 if condition is None else condition.shape[-1]
        if given != len(self):
            raise RunError(f"network {self.network} is made for {len(self)} conditions and is given {given}")
        if condition is None:
            return None
        return torch.stack([embed(c) for embed, c in zip(self, condition.unbind(-1), strict=True)]).sum(0)


def check_channels(width: int, multipliers: Sequence[int], groups: int) -> None:
    """Refuse numbers of channels that do not go together.

    Raises:
        ConfigError: There are no multipliers, or the groups do not divide the width.
    """
    if not multipliers:
        raise ConfigError("network.multipliers is empty; it must be one or more numbers")
    if width % groups:
        raise ConfigError(f"network.groups is {groups}; it must divide network.width, {width}")
