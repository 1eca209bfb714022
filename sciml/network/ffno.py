r"""Factorised Fourier neural operator: spectral layers along one axis at a time, a residual around each layer.

.. math:: v_{l+1} = v_l + W_2\, \varphi\Big(W_1 \sum_{j=1}^{d} F_j^{-1}\big(R_j \, F_j v_l\big) + b_1\Big) + b_2

with :math:`F_j` the Fourier transform along axis j, whose :math:`m_j` modes have a matrix each: d sums of modes in
place of their product, hence deep networks of few parameters. Source: Tran, Mathews, Xie and Ong (2023), *Factorized
Fourier Neural Operators* (ICLR 2023), section 3; ``share``: one :math:`R_j` for all layers, as there for vorticity.

Deviations from the paper, and from the authors' code:

* In the paper another activation follows :math:`W_2`; the authors' code has none there, as here.
* The authors' code takes the prediction from the last layer's :math:`W_2 \varphi(\ldots) + b_2` without
  :math:`v_L`; ``head: layer`` does, ``head: sum`` takes :math:`v_{L+1}`.
* No weight normalisation of the linear maps, an option there.
* As in the authors' code, Q is two linear maps of 128 units between them without an activation.
* Padding and the layout of fields as in :mod:`sciml.network.fno`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.network.fno import FUNCTIONS, Padding, TwoLayers
from sciml.network.spectral import Spectral, check_modes
from sciml.ranges import Count, NonNegative

HEADS = ("layer", "sum")


class FFNO(nn.Module):
    """Maps fields on a grid of as many axes as there are ``modes``.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        modes: Modes by axis: frequencies below this.
        width: Channels of the layers.
        depth: Number of layers.
        factor: Hidden units of a layer's network, as a multiple of the width.
        share: Whether all layers have the same spectral weights.
        head: What Q sees: ``layer``, the last layer's addition, or ``sum``.
        projection: Units between the two maps of Q.
        padding: Points added at the end of each axis; a fraction f of n points adds 2 round(f n).
        activation: ``relu``, ``gelu``, ``tanh``, ``sine`` or ``silu``.
        transform: ``auto``, ``dft`` or ``fft``, see :mod:`sciml.network.spectral`.

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: Symmetries that it has by construction.
        grid_free: A smooth field sampled on a finer grid gives the same output there; with the kinks of ``relu``, which
            have no highest frequency, it does so to a few digits only.

    Raises:
        ConfigError: Unknown name, no modes, or not one padding for each axis.
    """

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        modes: Sequence[Count],
        width: Count,
        depth: Count = 4,
        factor: Count = 4,
        share: bool = False,
        head: str = "layer",
        projection: Count = 128,
        padding: NonNegative | Sequence[NonNegative] = 0,
        activation: str = "relu",
        transform: str = "auto",
    ) -> None:
        super().__init__()
        self.modes = check_modes(modes)
        if activation not in FUNCTIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(FUNCTIONS))}")
        if head not in HEADS:
            raise ConfigError(f"network.head: unknown '{head}'; one of {', '.join(HEADS)}")
        act, self._smooth = FUNCTIONS[activation], activation != "relu"
        self.padding, self.head = Padding(padding, len(self.modes)), head
        self.lifting = TwoLayers(in_features, 0, width, act)
        # A shared list is one module that all layers refer to: its parameters count, and are stored, once.
        self.spectral = nn.ModuleList(
            nn.ModuleList(Spectral(width, width, [m], transform=transform) for m in self.modes)
            for _ in range(1 if share else depth)
        )
        self.pointwise = nn.ModuleList(TwoLayers(width, factor * width, width, act) for _ in range(depth))
        self.projection = TwoLayers(width, projection, out_features, nn.Identity())

    @property
    def spatial_dims(self) -> int:
        return len(self.modes)

    @property
    def equivariant(self) -> frozenset[str]:
        return frozenset() if self.padding.any else frozenset({"translation"})

    @property
    def grid_free(self) -> bool:
        return self._smooth and not self.padding.any

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(batch, *grid, in_features)`` to ``(batch, *grid, out_features)``."""
        if u.ndim != self.spatial_dims + 2:
            raise ConfigError(
                f"network.modes has {self.spatial_dims} numbers; fields {tuple(u.shape)} have {u.ndim - 2} axes"
            )
        u = u.movedim(0, -2).contiguous()
        grid = u.shape[:-2]
        v = self.padding.add(self.lifting(u))
        added = v
        for layer, pointwise in enumerate(self.pointwise):
            spectral = cast(list[Spectral], self.spectral[layer % len(self.spectral)])
            mixed = spectral[0].along(v, 0)
            for axis in range(1, self.spatial_dims):
                mixed = mixed + spectral[axis].along(v, axis)
            added = pointwise(mixed)
            v = v + added
        out = self.padding.cut(added if self.head == "layer" else v, grid)
        return self.projection(out).movedim(-2, 0)
