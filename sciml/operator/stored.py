"""Splits of a dataset kept in the data cache, as plain arrays: bit for bit what making them gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.data import cache
from sciml.operator.base import Split


def stored(
    name: str, settings: Mapping[str, Any], make: Callable[[], dict[str, Split]], *, version: int
) -> dict[str, Split]:
    """The splits that ``make`` returns, made once for all runs of an outputs folder.

    Args:
        name: The dataset's.
        settings: All that the splits depend on, as plain data.
        make: Called if they are not there.
        version: Raise it whenever ``make`` returns other numbers for the same settings.

    Raises:
        RunError: They are not there, and cannot be written.
    """
    root = cache.folder()
    if root is None:
        return make()

    def write(path: Path) -> None:
        made = {name: split.whole() for name, split in make().items()}
        arrays = {f"{name}.{part}": x.numpy() for name, split in made.items() for part, x in split._asdict().items()}
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    with np.load(cache.entry(root, name, settings, version=version, generate=write), allow_pickle=False) as file:
        splits = dict.fromkeys(key.rpartition(".")[0] for key in file.files)
        return {
            split: Split(*(torch.from_numpy(file[f"{split}.{part}"]) for part in Split._fields)) for split in splits
        }
