"""Whether there is room for the fields of a data set."""

from __future__ import annotations

import math

from sciml.data.mat import GIB
from sciml.errors import ConfigError


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
