r"""Galerkin Transformer: attention without softmax between a small encoder and a spectral decoder.

A field is lifted pointwise, or by a small convolutional network to a coarser grid, goes through layers

.. math:: x \leftarrow x + A(x), \qquad x \leftarrow x + W_2\, \mathrm{relu}(W_1 x)

with an attention A of :mod:`sciml.network.attention` among all points, back to its grid, and through two Fourier layers
and two pointwise ones. Every projection of attention starts near a small multiple of the identity.

Source: Cao (2021), *Choose a Transformer: Fourier or Galerkin*, NeurIPS, sections 3 and 4, and the author's code,
``libs/model.py``, ``SimpleTransformer`` and ``FourierTransformer2D``. Deviations: positions are input channels, so the
lifting sees them too (with zero weights there it is the author's); the epsilon of normalisation is 1e-7 everywhere; the
code's reset of boundary values belongs to decoded fields, which no network sees; the Fourier layers start with the
small uniform numbers of FNO's code (the author's are smaller still). The H1 term of the paper's loss is a choice of
``operator/loss``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.network.attention import EPS, PositionedAttention
from sciml.network.axes import Axes, interpolate
from sciml.network.resample import Coarsen, Refine
from sciml.network.spectral import Spectral
from sciml.ranges import Count, FractionBelowOne, NonNegative, Range

NORMS = ("head", "layer")


class GalerkinTransformer(nn.Module):
    """A transformer on the points of a grid.

    Args:
        in_features: Input channels; the last ``dims`` are the positions of the points.
        out_features: Output channels.
        dims: Space axes.
        attention: ``galerkin``, ``fourier``, ``linear`` or ``softmax``, see :mod:`sciml.network.attention`.
        norm: ``head`` normalises the factors inside attention, ``layer`` the result of each residual sum, as
            transformers usually do.
        width: Channels of a layer, a multiple of ``heads``.
        depth: Number of layers.
        heads: Attention heads.
        feedforward: Hidden channels between two attentions.
        coarsening: Spacing of the grid that attention acts on over that of the field; 1 acts on the field's own.
        modes: Fourier modes of the decoder along each axis; 0 decodes pointwise, for targets that are not smooth.
        decoder_width: Channels of the decoder.
        gain: Of the Xavier uniform start of queries, keys and values.
        diagonal: Multiple of the identity that is added to it.
        dropout: Share that is dropped in training: of the attention matrix, and of the encoder's hidden values.

    Attributes:
        equivariant: Symmetries that it has by construction.
        grid_free: Sums over points are integrals, but of fields on one grid: on a finer one, another rule.

    Raises:
        ConfigError: An unknown ``attention`` or ``norm``, fewer inputs than axes, a width that the heads do not divide.
    """

    equivariant: ClassVar[frozenset[str]] = frozenset()
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        dims: Axes = 1,
        attention: str = "galerkin",
        norm: str = "head",
        width: Count = 96,
        depth: Count = 4,
        heads: Count = 1,
        feedforward: Count = 192,
        coarsening: Annotated[float, Range(1)] = 1.0,
        modes: Count = 16,
        decoder_width: Count = 48,
        gain: NonNegative = 0.01,
        diagonal: NonNegative = 0.01,
        dropout: FractionBelowOne = 0.0,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise ConfigError(f"network.norm: unknown '{norm}'; one of {', '.join(NORMS)}")
        if in_features < dims:
            raise ConfigError(f"network.dims is {dims}, but a point has only {in_features} channels for its position")
        self.dims = dims
        if coarsening > 1:
            self.lift: nn.Module = Coarsen(dims, in_features, width, coarsening, dropout)
        else:
            self.lift = nn.Linear(in_features, width)
        self.refine = Refine(dims, width, coarsening) if coarsening > 1 else None
        self.layers = nn.ModuleList(
            EncoderLayer(
                PositionedAttention(
                    width,
                    dims,
                    kind=attention,
                    heads=heads,
                    normalise=norm == "head",
                    gain=gain,
                    diagonal=diagonal,
                    dropout=dropout,
                ),
                feedforward,
                normalise=norm == "layer",
                dropout=dropout,
            )
            for _ in range(depth)
        )
        self.decoder = Decoder(dims, width, out_features, width=decoder_width, modes=modes)

    @property
    def spatial_dims(self) -> int:
        """Axes of a field between batch and channels."""
        return self.dims

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(n, *grid, in_features)`` to ``(n, *grid, out_features)``."""
        dims, grid = self.dims, u.shape[1:-1]
        x, positions = self.lift(u), u[..., -dims:]
        there = x.shape[1:-1]
        # A coordinate that grows evenly, interpolated, is that coordinate on the coarse grid.
        places = interpolate(positions.movedim(-1, 1), there).movedim(1, -1)
        x, places = x.flatten(1, -2), places.flatten(1, -2)
        for layer in self.layers:
            x = layer(x, places)
        x = x.unflatten(1, there)
        if self.refine is not None:
            x = self.refine(x, grid)
        return self.decoder(x, positions)


class EncoderLayer(nn.Module):
    """Attention and a pointwise part, each added to its input.

    Args:
        attention: The attention.
        hidden: Channels of the pointwise part.
        normalise: Whether each sum is normalised.
        dropout: Share of hidden values, and of what is added, that is dropped in training.
    """

    def __init__(self, attention: PositionedAttention, hidden: int, *, normalise: bool, dropout: float) -> None:
        super().__init__()
        width = attention.out.out_features
        self.attention = attention
        self.hidden, self.back = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=EPS) if normalise else nn.Identity() for _ in range(2))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """``(n, points, width)`` at ``(n, points, dims)`` to ``(n, points, width)``."""
        x = self.norms[0](x + self.dropout(self.attention(x, positions)))
        added = self.back(self.dropout(F.relu(self.hidden(x))))
        return self.norms[1](x + self.dropout(added))


class Decoder(nn.Module):
    """Two Fourier layers and two pointwise ones, SiLU between them.

    As in the author's code, on more than one axis positions are channels again and a linear layer comes first.

    Args:
        dims: Space axes.
        in_features: Channels that come.
        out_features: Channels of the result.
        width: Channels in between.
        modes: Fourier modes along each axis; 0 leaves the pointwise part of each layer.
    """

    def __init__(self, dims: int, in_features: int, out_features: int, *, width: int, modes: int) -> None:
        super().__init__()
        self.lift = nn.Linear(in_features + dims, width) if dims > 1 else None
        sizes = [width if self.lift else in_features, width, width]
        self.pointwise = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.spectral = nn.ModuleList(
            Spectral(n, m, [modes] * dims, init="uniform") for n, m in pairwise(sizes) if modes
        )
        hidden = width if dims == 1 else 2 * dims * width
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, out_features)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """``(n, *grid, in_features)`` at ``(n, *grid, dims)`` to ``(n, *grid, out_features)``."""
        if self.lift is not None:
            x = self.lift(torch.cat([x, positions], dim=-1))
        x = x.movedim(0, -2)  # the order in which the Fourier layers work
        for layer, pointwise in enumerate(self.pointwise):
            x = F.silu(pointwise(x) + self.spectral[layer](x)) if self.spectral else F.silu(pointwise(x))
        return self.out(F.silu(self.hidden(x))).movedim(-2, 0)
