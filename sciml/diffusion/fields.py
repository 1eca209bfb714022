"""The data behind a prior that was learned from them: truths, examples, and the normal distribution fitted to these."""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor, nn

from sciml.diffusion.base import Dataset
from sciml.diffusion.gaussian_fit import GaussianFit
from sciml.errors import ConfigError
from sciml.ranges import Natural


@final
class Fields(nn.Module):
    """A dataset, made when it is first needed.

    Args:
        dataset: The fields.
        shape: Of one field, as the run's config has it.
        rank: Principal components of the fit, at least 0.

    Raises:
        ConfigError: The dataset has fields of another shape.
    """

    def __init__(self, dataset: Dataset, shape: tuple[int, ...], *, rank: Natural) -> None:
        super().__init__()
        if tuple(shape) != tuple(dataset.shape):
            raise ConfigError(
                f"diffusion.shape is {list(shape)}; the fields of the prior's dataset are {list(dataset.shape)}"
            )
        self.dataset, self.rank = dataset, rank
        self.fit: GaussianFit | None = None
        self._splits: dict[str, Tensor] = {}

    def draw(self, split: str, n: int, generator: Generator) -> Tensor:
        """So many fields of a split without repetition, ``(n, *shape)`` in float64.

        Raises:
            ConfigError: There are not so many.
        """
        there = self.split(split)
        if n > len(there):
            raise ConfigError(
                f"the {split} split of the prior's dataset has {len(there)} fields, not the {n} asked for"
            )
        return there[torch.randperm(len(there), generator=generator)[:n]].double()

    def normal(self) -> GaussianFit:
        """The normal distribution fitted to the training split.

        Raises:
            ConfigError: The split is too small for the rank.
        """
        if self.fit is None:
            train = self.split("train")
            most = min(len(train) - 1, train[0].numel())
            if self.rank > most:
                raise ConfigError(f"diffusion.prior.rank is {self.rank}; the training fields allow at most {most}")
            self.fit = GaussianFit(train, self.dataset.periodic, rank=self.rank)
        return self.fit

    def split(self, name: str) -> Tensor:
        """One of the dataset's splits ``(n, *shape)``, float32."""
        if not self._splits:
            self._splits = self.dataset.splits()
        return self._splits[name]
