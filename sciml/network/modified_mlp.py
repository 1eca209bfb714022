r"""Modified multilayer perceptron: two features of the input that every hidden layer mixes, in shares of its own.

.. math::
    U = \varphi(W_U \gamma + b_U), \quad V = \varphi(W_V \gamma + b_V), \qquad
    z_l = \varphi(W_l h_{l-1} + b_l), \quad h_l = z_l \odot U + (1 - z_l) \odot V, \qquad h_0 = \gamma(x)

and a linear last layer; :math:`\gamma` are Fourier features or the inputs themselves. Source: Wang, Teng and
Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed neural networks", SIAM Journal
on Scientific Computing 43 (2021) (arXiv 2001.04536), section 2.6, in the form of Wang, Sankaran, Wang and Perdikaris,
"An expert's guide to training physics-informed neural networks", arXiv 2308.08468, section 6.4, equations (6.7) to
(6.10), and jaxpi: the first hidden layer mixes too, and U and V have changed places.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sciml.network.features import FourierFeatures
from sciml.network.layer import Factorised, activation_of, linear
from sciml.ranges import Count, Positive


class ModifiedMLP(nn.Module):
    """An MLP whose hidden layers are gated by the input.

    Args:
        in_features: Dimension of the input.
        out_features: Dimension of the output.
        width: Units in each hidden layer.
        depth: Number of hidden layers, at least 1.
        activation: ``tanh``, ``sine`` or ``silu``.
        init: ``torch`` or ``glorot``, see :mod:`sciml.network.layer`.
        factorised: Random weight factorisation of all layers.
        features: Number of Fourier features; None for none.
        sigma: Standard deviation of their frequencies, one for all inputs or one for each.

    Raises:
        ConfigError: Unknown activation or start, or see :class:`FourierFeatures`.
    """

    pointwise = True

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        width: Count,
        depth: Count,
        activation: str = "tanh",
        init: str = "glorot",
        factorised: bool = False,
        features: Count | None = None,
        sigma: Positive | Sequence[Positive] = 1.0,
    ) -> None:
        super().__init__()
        self.activation = activation_of(activation)

        def layer(n: int, m: int) -> nn.Module:
            return Factorised(n, m, init=init) if factorised else linear(n, m, init)

        self.features = None if features is None else FourierFeatures(in_features, features, sigma=sigma)
        start = in_features if features is None else features
        self.u, self.v = layer(start, width), layer(start, width)
        self.layers = nn.ModuleList(layer(start if i == 0 else width, width) for i in range(depth))
        self.last = layer(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        h = x if self.features is None else self.features(x)
        u, v = self.activation(self.u(h)), self.activation(self.v(h))
        difference = u - v
        for layer in self.layers:
            h = self.activation(layer(h)) * difference + v
        return self.last(h)
