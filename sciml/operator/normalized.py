"""A network between two normalisers: physical fields in, physical fields out."""

from __future__ import annotations

from torch import Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.operator.base import Fields


class Normalized(nn.Module):
    """``decode(network(encode(u)))``, with statistics that are saved with the weights.

    Args:
        network: Normalised fields to normalised fields.
        in_channels: Channels of an input.
        out_channels: Channels of an output.
    """

    def __init__(self, network: nn.Module, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.network = network
        self.input, self.output = Normalizer(in_channels), Normalizer(out_channels)

    def fit(self, train: Fields) -> None:
        """Take the statistics from training data, and from nothing else."""
        self.input.fit(train.input)
        self.output.fit(train.target)

    def forward(self, u: Tensor) -> Tensor:
        return self.output.decode(self.network(self.input.encode(u)))
