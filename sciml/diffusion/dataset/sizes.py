"""How many fields the splits of a data set have, and whether there is room for them."""

from __future__ import annotations

import math

from sciml.data.mat import GIB
from sciml.errors import ConfigError


def sizes(*, n_train: int, n_val: int, n_test: int) -> dict[str, int]:
    """By the name of the split.

    Raises:
        ConfigError: A number is below 1.
    """
    counts = {"train": n_train, "val": n_val, "test": n_test}
    for name, count in counts.items():
        if count < 1:
            raise ConfigError(f"dataset.n_{name} is {count}; it must be at least 1")
    return counts


def check_memory(n: int, shape: tuple[int, ...], limit: float) -> None:
    """Whether so many fields in single precision take at most ``limit`` GiB.

    Raises:
        ConfigError: They take more.
    """
    needed = n * math.prod(shape) * 4 / GIB
    if needed > limit:
        raise ConfigError(
            f"dataset: {n} fields {shape} take {needed:.3g} GiB, more than dataset.limit of {limit:g}; take fewer, or"
            " raise it"
        )
