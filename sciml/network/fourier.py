"""A multilayer perceptron on random Fourier features of its inputs; see :mod:`sciml.network.features`."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from sciml.network.features import FourierFeatures
from sciml.network.mlp import MLP
from sciml.ranges import Count, Positive


class Fourier(nn.Module):
    """Fourier features, then an MLP.

    Args:
        in_features: Dimension of the input.
        out_features: Dimension of the output.
        features: Number of sines and cosines together.
        sigma: Standard deviation of the frequencies, one for all inputs or one for each.
        trainable: Whether the frequencies are trained.
        width: Units in each hidden layer.
        depth: Number of hidden layers, at least 1.
        activation: ``tanh``, ``sine`` or ``silu``.
        init: ``torch`` or ``glorot``, see :mod:`sciml.network.layer`.

    Raises:
        ConfigError: A number or a name out of its range.
    """

    pointwise = True

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        features: Count = 64,
        sigma: Positive | Sequence[Positive] = 1.0,
        trainable: bool = False,
        width: Count,
        depth: Count,
        activation: str = "tanh",
        init: str = "glorot",
    ) -> None:
        super().__init__()
        self.features = FourierFeatures(in_features, features, sigma=sigma, trainable=trainable)
        self.network = MLP(features, out_features, width=width, depth=depth, activation=activation, init=init)

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        return self.network(self.features(x))
