r"""Attention without softmax, which reads columns as functions and sums over points as integrals.

For queries Q, keys K and values V, matrices of n points by d columns, a head computes

.. math::
    \text{galerkin:}\quad & Q\,(\tilde K^\top \tilde V) / n, &
    \text{fourier:}\quad & (\tilde Q \tilde K^\top)\, V / (n \sqrt d), \\
    \text{linear:}\quad & \sigma_d(Q)\,(\sigma_n(\tilde K)^\top \tilde V) / n, &
    \text{softmax:}\quad & \sigma_n(\tilde Q \tilde K^\top / \sqrt d)\, V,

where a tilde is layer normalisation over the columns of the head, with its own scales and shifts (it replaces
softmax: the two factors that are multiplied first are normalised), and :math:`\sigma_d, \sigma_n` are softmax over
columns and over points. The positions of the points are further columns in front of Q, K and V of every head, added
after normalisation. Source: Cao (2021), *Choose a Transformer: Fourier or Galerkin*, NeurIPS, section 3, and the
author's code, ``libs/layers.py``, ``SimpleAttention``. With keys that are orthonormal in the mean over the points,
and queries that are the keys, galerkin is the projection of the columns of V onto theirs.

Deviation: the author's code drops half of the attention matrix whatever rate is asked for, also in evaluation (it calls
``F.dropout`` without rate and mode); here it is the rate that is asked for, and in training only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError

KINDS = ("galerkin", "fourier", "linear", "softmax")
EPS = 1e-7  # of the normalisation; columns start small, and 1e-5 costs accuracy (issue 3 of the author's code)


class PositionedAttention(nn.Module):
    """Self-attention of points that carry positions.

    Args:
        width: Columns, a multiple of ``heads``.
        positions: Coordinates of a point.
        kind: ``galerkin``, ``fourier``, ``linear`` or ``softmax``.
        heads: Attention heads.
        normalise: Whether the two factors that are multiplied first are normalised.
        gain: Of the Xavier uniform start of the three projections.
        diagonal: Multiple of the identity that is added to it.
        dropout: Share of the attention matrix that is dropped in training.

    Raises:
        ConfigError: Unknown ``kind``, or a width that the heads do not divide.
    """

    def __init__(
        self,
        width: int,
        positions: int,
        *,
        kind: str = "galerkin",
        heads: int = 1,
        normalise: bool = True,
        gain: float = 0.01,
        diagonal: float = 0.01,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(f"network.attention: unknown '{kind}'; one of {', '.join(KINDS)}")
        if width % heads:
            raise ConfigError(f"network.width is {width}; {heads} heads do not divide it")
        self.kind, self.heads, self.dropout = kind, heads, nn.Dropout(dropout)
        self.linear = kind in ("galerkin", "linear")
        self.query, self.key, self.value = (diagonal_start(nn.Linear(width, width), gain, diagonal) for _ in range(3))
        self.norms = nn.ModuleList(HeadNorm(heads, width // heads) for _ in range(2 if normalise else 0))
        self.out = nn.Linear(width + heads * positions, width)

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Columns ``(n, points, width)`` at ``(n, points, positions)`` to ``(n, points, width)``."""
        layers = (self.query, self.key, self.value)
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in layers)
        if self.norms:
            first, second = self.norms
            q, k, v = (q, first(k), second(v)) if self.linear else (first(q), second(k), v)
        places = positions[:, None].expand(-1, self.heads, -1, -1)
        q, k, v = (torch.cat([places, part], dim=-1) for part in (q, k, v))
        return self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries, keys and values ``(n, heads, points, columns)`` to what is read, of the same shape."""
        n, d = q.shape[-2:]
        if self.linear:
            if self.kind == "linear":
                q, k = q.softmax(dim=-1), k.softmax(dim=-2)
            return q @ self.dropout(k.mT @ v / n)
        scores = q @ k.mT / math.sqrt(d)
        return self.dropout(scores / n if self.kind == "fourier" else scores.softmax(dim=-1)) @ v


class HeadNorm(nn.Module):
    """Layer normalisation over the columns of each head, ``(n, heads, points, columns)``."""

    def __init__(self, heads: int, columns: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(heads, 1, columns))
        self.bias = nn.Parameter(torch.zeros(heads, 1, columns))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], eps=EPS) * self.weight + self.bias


def diagonal_start(layer: nn.Linear, gain: float, diagonal: float) -> nn.Linear:
    """Start a square layer at ``gain`` times Xavier's uniform weights plus ``diagonal`` times the identity, no bias."""
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    with torch.no_grad():
        layer.weight += diagonal * torch.eye(len(layer.weight))
    nn.init.zeros_(layer.bias)
    return layer
