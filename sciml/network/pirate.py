r"""PirateNet: gated residual blocks that begin as nothing, so that the network deepens while it learns.

.. math::
    \gamma = [\cos(2\pi B x), \sin(2\pi B x)], \quad
    U = \varphi(W_U \gamma + b_U), \quad V = \varphi(W_V \gamma + b_V), \\
    f = \varphi(W_1 h + b_1), \quad z_1 = f \odot U + (1 - f) \odot V, \quad
    g = \varphi(W_2 z_1 + b_2), \quad z_2 = g \odot U + (1 - g) \odot V, \\
    h \leftarrow \alpha\, \varphi(W_3 z_2 + b_3) + (1 - \alpha) h, \qquad h_0 = \gamma

for each block, with :math:`\alpha = 0` at the start, and a linear last layer. Source: Wang, Li, Chen and Perdikaris,
"PirateNets: physics-informed deep learning with residual adaptive networks", Journal of Machine Learning Research 25
(2024) (arXiv 2402.00326); authors' code: jaxpi, branch ``pirate``, whose settings are the defaults, random weight
factorisation included. The residual makes the number of features equal to the width. Deviation: the last layer
starts as the others do; its physics-informed start, least squares on data such as the initial condition, is not here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from sciml.network.features import FourierFeatures
from sciml.network.layer import Factorised, activation_of, linear
from sciml.ranges import Count, Positive


class PirateNet(nn.Module):
    """Residual adaptive blocks on Fourier features.

    Args:
        in_features: Dimension of the input.
        out_features: Dimension of the output.
        width: Units in each layer, and number of Fourier features: even.
        blocks: Number of blocks of three layers, at least 1.
        activation: ``tanh``, ``sine`` or ``silu``.
        init: ``torch`` or ``glorot``, see :mod:`sciml.network.layer`.
        factorised: Random weight factorisation of all layers.
        sigma: Standard deviation of the frequencies, one for all inputs or one for each; jaxpi's scale 2 is 2/2π.
        alpha: How much of a block counts at the start.

    Raises:
        ConfigError: Unknown activation or start, or see :class:`FourierFeatures`.
    """

    pointwise = True

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        width: Count = 256,
        blocks: Count = 3,
        activation: str = "tanh",
        init: str = "glorot",
        factorised: bool = True,
        sigma: Positive | Sequence[Positive] = 1 / math.pi,
        alpha: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation_of(activation)

        def layer(m: int = width) -> nn.Module:
            return Factorised(width, m, init=init) if factorised else linear(width, m, init)

        self.features = FourierFeatures(in_features, width, sigma=sigma)
        self.u, self.v = layer(), layer()
        self.blocks = nn.ModuleList(Block(layer, self.activation, alpha) for _ in range(blocks))
        self.last = layer(out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        h = self.features(x)
        u, v = self.activation(self.u(h)), self.activation(self.v(h))
        difference = u - v
        for block in self.blocks:
            h = block(h, difference, v)
        return self.last(h)


class Block(nn.Module):
    """Three layers, of which the first two mix the gates, and a share of what they make."""

    def __init__(self, layer: Callable[[], nn.Module], activation: Callable[[Tensor], Tensor], alpha: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer() for _ in range(3))
        self.activation = activation
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, h: Tensor, difference: Tensor, v: Tensor) -> Tensor:
        z = h
        for layer in self.layers[:2]:
            z = self.activation(layer(z)) * difference + v
        return h + (self.activation(self.layers[2](z)) - h) * self.alpha
