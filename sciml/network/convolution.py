r"""Convolutions on a periodic interval with an activation between them: the plainest local operator.

.. math:: u^{(l+1)} = \varphi(k^{(l)} * u^{(l)} + b^{(l)}), \qquad \text{the last layer without } \varphi .

A value depends on :math:`\tfrac{\text{kernel} - 1}{2}` points a layer to either side: the network learns what happens
in a short time, on the grid that it was trained on. LeCun et al. (1989), *Backpropagation Applied to Handwritten Zip
Code Recognition*; here without pooling, with periodic ends.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.network.layer import ACTIVATIONS
from sciml.ranges import Count


class Convolution(nn.Module):
    """Local and translation equivariant.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        width: Channels of each hidden layer.
        depth: Number of hidden layers, at least 1.
        kernel: Points that a layer sees, an odd number.
        activation: ``tanh``, ``sine`` or ``silu``.

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: Symmetries that it has by construction.
        grid_free: A field sampled on a finer grid gives another output there.

    Raises:
        ConfigError: Unknown activation, or an even kernel.
    """

    spatial_dims: ClassVar[int] = 1
    equivariant: ClassVar[frozenset[str]] = frozenset({"translation"})
    grid_free: ClassVar[bool] = False

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        width: Count,
        depth: Count,
        kernel: Count = 5,
        activation: str = "tanh",
    ) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(ACTIVATIONS))}")
        if kernel % 2 == 0:
            raise ConfigError(f"network.kernel is {kernel}; it must be odd, to be centred on a point")
        sizes = [in_features, *[width] * depth, out_features]
        self.layers = nn.ModuleList(
            nn.Conv1d(n, m, kernel, padding=kernel // 2, padding_mode="circular") for n, m in pairwise(sizes)
        )
        self.activation = ACTIVATIONS[activation]

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(batch, points, in_features)`` to ``(batch, points, out_features)``."""
        *hidden, last = self.layers
        u = u.movedim(-1, 1)
        for layer in hidden:
            u = self.activation(layer(u))
        return last(u).movedim(1, -1)
