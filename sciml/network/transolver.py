r"""Transolver: attention among a few learnt slices of the points, instead of among the points.

Each head assigns its points softly to M slices, averages them there, lets the averages attend to each other, and gives
every point what its slices found:

.. math::
    w_{ij} &= \mathrm{softmax}_j\big((P x_i)_j / \tau\big), \qquad
    s_j = \frac{\sum_i w_{ij}\, f_i}{\sum_i w_{ij}}, \\
    s' &= \mathrm{softmax}\big((s W_Q)(s W_K)^\top / \sqrt d\big)\, s W_V, \qquad
    x'_i = \sum_j w_{ij}\, s'_j ,

with x and f two projections of the features: linear ones on a point cloud, convolutions on a structured grid.

Source: Wu, Luo, Wang, Wang and Long (2024), *Transolver: A Fast Transformer Solver for PDEs on General
Geometries*, ICML, section 3, and the authors' code, ``PDE-Solving-StandardBenchmark/model``. As in the code, P and the
three maps of slices are shared by the heads, the temperature of a head starts at 0.5 and stays in [0.1, 5], linear
layers start at N(0, 0.02²) (which there overwrites the orthogonal start of P) and a sum of weights counts as 1e-5 at
least. At a width of 32 such layers pass on a tenth of what they get and all slices start alike, which costs a thousand
steps to undo: ``init: torch`` starts linear layers as torch does, by their width, and P orthogonal, as the authors'
code means to. Deviations: that choice; the temperature is kept in its bounds on point clouds too; the code's constant
vector that is added to lifted features is the bias of the lifting; nothing depends on the size of the grid. Training on
a CPU never stores the shares w (:mod:`sciml.kernel.slices`).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.kernel.slices import through_slices
from sciml.network.axes import Axes, convolution
from sciml.ranges import Count, FractionBelowOne, Natural

PROJECTIONS = ("convolution", "linear")
STARTS = ("normal", "torch")


class Transolver(nn.Module):
    """A transformer whose attention costs points times slices.

    Args:
        in_features: Input channels; the last ``dims`` are the positions of the points.
        out_features: Output channels.
        dims: Coordinates of a point.
        projection: ``convolution`` for fields with as many axes as coordinates, in order; ``linear`` for point clouds
            ``(n, points, channels)`` and any other set of points, whatever their order.
        width: Channels of a layer, a multiple of ``heads``.
        depth: Number of layers.
        heads: Attention heads.
        slices: M.
        expansion: Hidden channels of a feed-forward part over ``width``.
        kernel: Points that a convolution sees along an axis, an odd number.
        reference: Positions as distances to a regular grid of so many points an axis of the unit cube, which the
            authors call unified position; 0 leaves the coordinates.
        init: Start of linear layers: ``normal``, N(0, 0.02²) at every width, or ``torch``.
        dropout: Share of attention and of output that is dropped in training.

    Attributes:
        equivariant: Symmetries that it has by construction.
        grid_free: A field sampled on a finer grid gives another output there.

    Raises:
        ConfigError: An unknown ``projection`` or ``init``, an even kernel, fewer inputs than axes, a width that the
            heads do not divide.
    """

    equivariant: ClassVar[frozenset[str]] = frozenset()
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        dims: Axes = 2,
        projection: str = "convolution",
        width: Count = 128,
        depth: Count = 8,
        heads: Count = 8,
        slices: Count = 64,
        expansion: Count = 1,
        kernel: Count = 3,
        reference: Natural = 8,
        init: str = "normal",
        dropout: FractionBelowOne = 0.0,
    ) -> None:
        super().__init__()
        for name, choice, known in (("projection", projection, PROJECTIONS), ("init", init, STARTS)):
            if choice not in known:
                raise ConfigError(f"network.{name}: unknown '{choice}'; one of {', '.join(known)}")
        if width % heads:
            raise ConfigError(f"network.width is {width}; {heads} heads do not divide it")
        if kernel % 2 == 0:
            raise ConfigError(f"network.kernel is {kernel}; it must be odd, to be centred on a point")
        if in_features < dims:
            raise ConfigError(f"network.dims is {dims}, but a point has only {in_features} channels for its position")
        self.dims, self.projection, self.reference = dims, projection, reference
        lifted = in_features - dims + (reference**dims if reference else dims)
        self.lift = nn.Sequential(nn.Linear(lifted, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.layers = nn.ModuleList(
            _Layer(
                PhysicsAttention(width, heads, slices, dims if projection == "convolution" else 0, kernel, dropout),
                expansion * width,
            )
            for _ in range(depth)
        )
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out_features))
        for module in self.modules() if init == "normal" else ():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def spatial_dims(self) -> int:
        """Axes of a field between batch and channels."""
        return self.dims

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(n, *grid, in_features)`` or clouds ``(n, points, in_features)``, to ``out_features`` channels.

        Raises:
            ConfigError: Convolutions, and not as many axes as coordinates.
        """
        if self.projection == "convolution" and u.ndim != self.dims + 2:
            raise ConfigError(
                f"network: fields have {u.ndim - 2} axes, convolutions {self.dims}; on points, "
                "network.projection=linear"
            )
        x = self.lift(self.placed(u))
        for layer in self.layers:
            x = layer(x)
        return self.out(x)

    def placed(self, u: Tensor) -> Tensor:
        """Positions first, as distances where these are wanted, then the other channels."""
        dims = self.dims
        features, positions = u[..., :-dims], u[..., -dims:]
        if self.reference:
            line = torch.linspace(0, 1, self.reference, dtype=u.dtype, device=u.device)
            corners = torch.cartesian_prod(*[line] * dims).reshape(-1, dims)
            positions = (positions[..., None, :] - corners).norm(dim=-1)
        return torch.cat([positions, features], dim=-1)


class _Layer(nn.Module):
    """Attention and a feed-forward part, each behind a normalisation and added to its input."""

    def __init__(self, attention: PhysicsAttention, hidden: int) -> None:
        super().__init__()
        width = attention.width
        self.norm, self.attention = nn.LayerNorm(width), attention
        self.forward_part = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm(x))
        return x + self.forward_part(x)


class PhysicsAttention(nn.Module):
    """Attention among slices.

    Args:
        width: Channels, a multiple of ``heads``.
        heads: Attention heads.
        slices: Number of slices.
        dims: Axes of the convolutions that project; 0 projects each point by itself.
        kernel: Points that a convolution sees along an axis.
        dropout: Share of attention and of output that is dropped in training.
    """

    def __init__(self, width: int, heads: int, slices: int, dims: int, kernel: int = 3, dropout: float = 0.0) -> None:
        super().__init__()
        self.width, self.heads, self.dims, each = width, heads, dims, width // heads
        # Both projections in one: first what says the slice, then what is averaged.
        self.project = convolution(dims, width, 2 * width, kernel) if dims else nn.Linear(width, 2 * width)
        self.assign = nn.Linear(each, slices)
        nn.init.orthogonal_(self.assign.weight)
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 0.5))
        self.query, self.key, self.value = (nn.Linear(each, each, bias=False) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, *grid, width)`` to the same."""
        projected = self.project(x.movedim(-1, 1)).movedim(1, -1) if self.dims else self.project(x)
        projected = projected.flatten(1, -2).unflatten(-1, (2, self.heads, -1))  # (n, points, 2, heads, each)
        maps = (self.query.weight, self.key.weight, self.value.weight)
        read = through_slices(projected, *self.assignment(), self.among, maps)
        if read is None:
            place, feature = projected.permute(2, 0, 3, 1, 4)
            weights = self.weights(place)
            read = (weights @ self.among(weights.mT @ feature, weights.sum(dim=-2))).transpose(1, 2)
        return self.dropout(self.out(read.flatten(2))).reshape(x.shape)

    def assignment(self) -> tuple[Tensor, Tensor]:
        """Weight ``(heads, slices, each)`` and bias ``(heads, slices)`` of a point's scores."""
        # The temperature divides the few weights, not the many scores.
        cold = self.temperature.clamp(0.1, 5.0).reciprocal()
        return self.assign.weight * cold, self.assign.bias * cold[:, 0]

    def weights(self, x: Tensor) -> Tensor:
        """Shares of each point in the slices: ``(n, heads, points, each)`` to ``(n, heads, points, slices)``."""
        weight, bias = self.assignment()
        return (x @ weight.mT + bias[:, None]).softmax(dim=-1)

    def among(self, sums: Tensor, totals: Tensor) -> Tensor:
        """What slices find: from sums ``(n, heads, slices, each)`` over the points, and of shares, to as many."""
        return self.attend(self.means(sums, totals))

    @staticmethod
    def means(sums: Tensor, totals: Tensor) -> Tensor:
        """Means of the points over the slices ``(n, heads, slices, each)``."""
        return sums / totals.clamp(min=1e-5)[..., None]

    def attend(self, s: Tensor) -> Tensor:
        """Softmax attention among slices ``(n, heads, slices, each)``."""
        scores = self.query(s) @ self.key(s).mT / math.sqrt(s.shape[-1])
        return self.dropout(scores.softmax(dim=-1)) @ self.value(s)
