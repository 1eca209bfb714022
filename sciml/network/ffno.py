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
from sciml.network.modal import Modal, TwoLayers
from sciml.network.spectral import Spectral
from sciml.ranges import Count, NonNegative

HEADS = ("layer", "sum")


class FFNO(Modal):
    """Layers that transform one axis at a time.

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

    Raises:
        ConfigError: Unknown name, or see :class:`Modal`.
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
        super().__init__(modes, padding, activation)
        if head not in HEADS:
            raise ConfigError(f"network.head: unknown '{head}'; one of {', '.join(HEADS)}")
        self.head, act = head, self.activation
        self.lifting = TwoLayers(in_features, 0, width, act)
        # A shared list is one module that all layers refer to: its parameters count, and are stored, once.
        self.spectral = nn.ModuleList(
            nn.ModuleList(Spectral(width, width, [m], transform=transform) for m in self.modes)
            for _ in range(1 if share else depth)
        )
        self.pointwise = nn.ModuleList(TwoLayers(width, factor * width, width, act) for _ in range(depth))
        self.projection = TwoLayers(width, projection, out_features, nn.Identity())

    def mixed(self, v: Tensor) -> Tensor:
        added = v
        for layer, pointwise in enumerate(self.pointwise):
            spectral = cast(list[Spectral], self.spectral[layer % len(self.spectral)])
            mixed = spectral[0].along(v, 0)
            for axis in range(1, self.spatial_dims):
                mixed = mixed + spectral[axis].along(v, axis)
            added = pointwise(mixed)
            v = v + added
        return added if self.head == "layer" else v
