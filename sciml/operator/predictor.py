"""Floors and ceilings: maps from fields to fields that need no training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

from sciml.errors import ConfigError
from sciml.operator.base import Dataset, FieldMap, Fields


class Predictor(ABC):
    """Makes a map from the training split or from the dataset itself."""

    @abstractmethod
    def __call__(self, dataset: Dataset, train: Fields) -> FieldMap:
        """Physical inputs ``(n, *grid, in_channels)`` to the next states ``(n, *grid, out_channels)``."""


@final
class Mean(Predictor):
    """The mean of all training targets, one number a channel: the floor."""

    def __call__(self, dataset: Dataset, train: Fields) -> FieldMap:
        mean = train.target.flatten(0, -2).mean(0)
        return lambda u: mean.to(u.device).expand(*u.shape[:-1], -1)


@final
class Persistence(Predictor):
    """Nothing changes: the newest frame of the input.

    Raises:
        ConfigError: An input has not the channels to hold a state.
    """

    def __call__(self, dataset: Dataset, train: Fields) -> FieldMap:
        if dataset.in_channels % dataset.out_channels:
            raise ConfigError(
                f"predictor persistence needs inputs that hold whole states; {type(dataset).__name__} has"
                f" {dataset.in_channels} input and {dataset.out_channels} output channels"
            )
        return lambda u: u[..., -dataset.out_channels :]


@final
class Reference(Predictor):
    """The solver that made the data: the ceiling, and a test of the evaluation itself."""

    def __call__(self, dataset: Dataset, train: Fields) -> FieldMap:
        return dataset.reference
