"""Floors and ceilings: maps from fields to fields that need no training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from sciml.network.axes import interpolate
from sciml.operator.base import Dataset, FieldMap, Split, check_states


class Predictor(ABC):
    """Makes a map from the training split or from the dataset itself."""

    @abstractmethod
    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        """Physical inputs ``(n, *grid, in_channels)`` to the next states ``(n, *grid, out_channels)``."""


@final
class Mean(Predictor):
    """The mean of all training targets, one number a channel: the floor."""

    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        total, rows = torch.zeros(dataset.out_channels, dtype=torch.float64), 0
        for _, target in train.batches(256):
            total, rows = total + target.flatten(0, -2).double().sum(0), rows + target[..., 0].numel()
        mean = (total / rows).float()
        return lambda u: mean.to(u.device).expand(*u.shape[:-1], -1)


@final
class MeanField(Predictor):
    """The mean of all training targets at each grid point: the floor of maps whose outputs look alike.

    Other grids get it by linear interpolation.
    """

    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        total = torch.zeros(*dataset.grid, dataset.out_channels, dtype=torch.float64)
        for _, target in train.batches(256):
            total += target.double().mean(1).sum(0)
        mean = (total / train.n).float()

        def field(u: Tensor) -> Tensor:
            here = resampled(mean[None].to(u.device), u.shape[1:-1], dataset.periodic)
            return here.expand(len(u), *here.shape[1:])

        return field


@final
class Nearest(Predictor):
    """The next state of the training example whose input is nearest in L2, each channel in units of its spread.

    On another grid than that of training, inputs are compared on the training grid and outputs brought to the other,
    both by linear interpolation.
    """

    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        inputs, targets = train.whole()
        spread = inputs.flatten(0, -2).std(0, correction=0)
        scale = 1 / torch.where(spread > 0, spread, torch.ones_like(spread))
        table = (inputs * scale).flatten(1)

        def nearest(u: Tensor) -> Tensor:
            here = resampled(u, dataset.grid, dataset.periodic).to(table.device)
            index = torch.cdist((here * scale).flatten(1), table).argmin(1)
            return resampled(targets[index, 0].to(u.device), u.shape[1:-1], dataset.periodic)

        return nearest


@final
class Persistence(Predictor):
    """Nothing changes: the newest frame of the input.

    Raises:
        ConfigError: An input has not the channels to hold a state.
    """

    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        check_states(dataset, "predictor persistence")
        return lambda u: u[..., -dataset.out_channels :]


@final
class Reference(Predictor):
    """The solver that made the data: the ceiling, and a test of the evaluation itself."""

    def __call__(self, dataset: Dataset, train: Split) -> FieldMap:
        return dataset.reference


def resampled(u: Tensor, grid: tuple[int, ...], periodic: tuple[bool, ...]) -> Tensor:
    """Fields ``(n, *grid, channels)`` on another grid of the same box, one to three axes, by linear interpolation."""
    if u.shape[1:-1] == tuple(grid):
        return u
    for axis, closed in enumerate(periodic, start=1):
        if closed:  # the end point that such a grid leaves out
            u = torch.cat([u, u.narrow(axis, 0, 1)], dim=axis)
    size = [n + closed for n, closed in zip(grid, periodic, strict=True)]
    found = interpolate(u.movedim(-1, 1), size).movedim(1, -1)
    for axis, n in enumerate(grid, start=1):
        found = found.narrow(axis, 0, n)
    return found
