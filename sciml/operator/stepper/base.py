"""What a network predicts, and how the next state is made of it.

A stepper stands between a network, which sees normalised fields, and everything else, which sees physical ones. It has
the statistics, saved with the weights, and says what the loss of a batch is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.operator.base import Dataset, FieldMap, Loss, Rollout, Split

NetworkFactory = Callable[..., nn.Module]  # (in_features, out_features) -> network
CHUNK = 1 << 24  # numbers of a chunk in which statistics are taken


class Stepper(nn.Module, ABC):
    """A network between its normalisers.

    Args:
        network: Called with the numbers of input and output channels, as :meth:`build` does.
        dataset: What it is trained on: channels, grid, time step.
        normalizer: Called with the number of channels and the training grid.
        positions: Append coordinates in [0, 1], one a grid axis, to what the network sees.

    Attributes:
        stochastic: Whether training or prediction draws random numbers.
    """

    stochastic: ClassVar[bool] = False

    def __init__(
        self,
        network: NetworkFactory,
        dataset: Dataset,
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        *,
        positions: bool = False,
    ) -> None:
        super().__init__()
        self.positions = dataset.periodic if positions else None
        self.input = normalizer(dataset.in_channels, dataset.grid)
        self.output = normalizer(dataset.out_channels, dataset.grid)
        extra = len(dataset.grid) if positions else 0
        self.network = self.build(network, dataset.in_channels + extra, dataset.out_channels)

    def build(self, network: NetworkFactory, in_features: int, out_features: int) -> nn.Module:
        """The network itself, for that many channels; a stepper that shows it more than the input overrides this."""
        return network(in_features, out_features)

    @abstractmethod
    def fit(self, train: Split) -> None:
        """Take the statistics from training data, and from nothing else."""

    @abstractmethod
    def start(self) -> FieldMap:
        """Physical inputs to the next state, for one batch of trajectories: it may remember what it has seen."""

    def loss(self, u: Tensor, target: Tensor, rollout: Rollout, loss: Loss, generator: Generator) -> Tensor:
        """Of one batch, a scalar.

        Args:
            u: Inputs ``(n, *grid, in_channels)``.
            target: States that follow ``(n, steps, *grid, out_channels)``.
            rollout: How training unrolls.
            loss: Compares states.
            generator: For random numbers.
        """
        return loss(*rollout.train(self.start(), u, target))

    def encode(self, u: Tensor) -> Tensor:
        """What the network sees of physical inputs ``(n, *grid, in_channels)``."""
        encoded = self.input.encode(u)
        if self.positions is None:
            return encoded
        points = coordinates(u.shape[1:-1], self.positions).to(u)
        return torch.cat([encoded, points.expand(*u.shape[:-1], -1)], dim=-1)


def coordinates(grid: tuple[int, ...], periodic: tuple[bool, ...]) -> Tensor:
    """Points of a grid in the unit box, ``(*grid, axes)``, float64; see :class:`sciml.operator.base.Dataset`."""
    axes = [
        torch.arange(n, dtype=torch.float64) / (n if closed else max(n - 1, 1))
        for n, closed in zip(grid, periodic, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def chunks(split: Split, part: str) -> Callable[[], Iterable[Tensor]]:
    """A part of a split in pieces that fit into memory, as often as asked for: what a normaliser is fitted on."""
    array = getattr(split, part)
    each = 1
    for size in array.shape[1:]:
        each *= size
    step = max(1, CHUNK // max(each, 1))
    return lambda: (array[first : first + step] for first in range(0, len(array), step))
