"""How many fields the splits of a data set have."""

from __future__ import annotations

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
