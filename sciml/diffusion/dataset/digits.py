"""Handwritten digits of 8 x 8 pixels (:mod:`sciml.data.digits`), background -1 and full ink +1.

As in every field here the first axis points to the right and the second upwards.

They come in an order in which one writer follows another; the splits are drawn at random by ``seed``.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.data.digits import digits
from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.errors import ConfigError
from sciml.ranges import Count, Natural


@final
class Digits(Dataset):
    """Images ``(8, 8, 1)``; 1797 of them, and those that are neither validation nor test are for training.

    Args:
        n_val: Number to choose settings with.
        n_test: Number to judge with.
        seed: Of the splits.

    Raises:
        UsageError: The package that carries the data is not installed.
        ConfigError: Nothing is left to train on.
    """

    shape = (8, 8, 1)
    names = ("brightness",)
    periodic = (False, False)

    def __init__(self, *, n_val: Count = 200, n_test: Count = 400, seed: Natural = 0) -> None:
        rows = (2 * digits()[0] - 1).float().reshape(-1, 8, 8)  # from the top
        self._fields = rows.flip(1).transpose(1, 2)[..., None].contiguous()
        if n_val + n_test >= len(self._fields):
            raise ConfigError(
                f"dataset digits has {len(self._fields)} images; n_val and n_test must leave some, not {n_val} and"
                f" {n_test}"
            )
        order = torch.randperm(len(self._fields), generator=stream("digits/splits", seed))
        self._index = dict(zip(("test", "val", "train"), order.tensor_split([n_test, n_test + n_val]), strict=True))

    def splits(self) -> dict[str, Tensor]:
        return {name: self._fields[self._index[name]] for name in ("train", "val", "test")}
