"""Fields drawn from a prior that is known: what is learnt of them can be held against the truth."""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import Dataset, Prior
from sciml.ranges import Count, Natural


@final
class Drawn(Dataset):
    """Independent draws; the splits come from streams of random numbers of their own.

    Args:
        prior: The law of the fields.
        n_train: Number of fields to fit to.
        n_val: Number to choose settings with.
        n_test: Number to judge with.
        seed: Of all of them.

    Raises:
        ConfigError: A number is below 1.
    """

    def __init__(
        self, *, prior: Prior, n_train: Count = 2000, n_val: Count = 200, n_test: Count = 200, seed: Natural = 0
    ) -> None:
        self.counts = {"train": n_train, "val": n_val, "test": n_test}
        self.prior, self.seed = prior, seed
        self.shape = tuple(prior.sample(1, stream("drawn/shape", 0)).shape[1:])
        self.names = tuple(f"x{i}" for i in range(self.shape[-1])) if self.shape[-1] > 1 else ("x",)
        self.periodic = (False,) * (len(self.shape) - 1)

    def splits(self) -> dict[str, Tensor]:
        return {
            split: self.prior.sample(count, stream(f"drawn/{split}", self.seed)).float().cpu()
            for split, count in self.counts.items()
        }
