"""Multilayer perceptron: u(x) = W_L φ(W_{L-1} φ(... φ(W_1 x + b_1) ...) + b_{L-1}) + b_L.

The network of most physics-informed papers (Raissi, Perdikaris and Karniadakis 2019,
doi:10.1016/j.jcp.2018.10.045, section 3). Inputs enter unscaled. Weights and biases start from
torch's default, U(-1/√n, 1/√n) with n the number of inputs of the layer, for every activation; papers
that start from Glorot's normal distribution differ.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sine": torch.sin,
    "silu": nn.functional.silu,
}


class MLP(nn.Module):
    """A fully connected network with one activation between its linear layers.

    Args:
        in_features: Dimension of the input.
        out_features: Dimension of the output.
        width: Units in each hidden layer.
        depth: Number of hidden layers, at least 1.
        activation: ``tanh``, ``sine`` or ``silu``.

    Attributes:
        pointwise: Each point is mapped on its own, so that the network can be a field.

    Raises:
        ConfigError: Unknown activation, or a width or depth below 1.
    """

    pointwise = True

    def __init__(
        self, in_features: int, out_features: int, *, width: int, depth: int, activation: str = "tanh"
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(ACTIVATIONS))}")
        for name, number in (("width", width), ("depth", depth)):
            if number < 1:
                raise ConfigError(f"network.{name} is {number}; it must be at least 1")
        sizes = [in_features, *[width] * depth, out_features]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer(x))
        return last(x)
