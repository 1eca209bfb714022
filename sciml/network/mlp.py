"""Multilayer perceptron: u(x) = W_L φ(W_{L-1} φ(... φ(W_1 x + b_1) ...) + b_{L-1}) + b_L.

The network of most physics-informed papers (Raissi, Perdikaris and Karniadakis 2019,
doi:10.1016/j.jcp.2018.10.045, section 3). Inputs enter unscaled. Weights and biases start from torch's
default for every activation, or as most of those papers have it from Glorot's normal distribution:
see :mod:`sciml.network.layer`.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from sciml.kernel.stack import layered
from sciml.network.layer import activation_of, linear
from sciml.ranges import Count


class MLP(nn.Module):
    """A fully connected network with one activation between its linear layers.

    Args:
        in_features: Dimension of the input.
        out_features: Dimension of the output.
        width: Units in each hidden layer.
        depth: Number of hidden layers, at least 1.
        activation: ``tanh``, ``sine`` or ``silu``.
        init: ``torch`` or ``glorot``.

    Attributes:
        pointwise: Each point is mapped on its own, so that the network can be a field.

    Raises:
        ConfigError: Unknown activation or start.
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
        init: str = "torch",
    ) -> None:
        super().__init__()
        self.activation = activation_of(activation)
        sizes = [in_features, *[width] * depth, out_features]
        self.layers = nn.ModuleList(linear(n, m, init) for n, m in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        return layered(x, self.layers, self.activation)
