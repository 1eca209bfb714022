"""Observations from a file of the user's own, held against what a measurement gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sciml.data.arrays import arrays
from sciml.diffusion.base import Measurement
from sciml.errors import UsageError


def numbers(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Whole arrays of finite numbers, as they are in the file.

    Raises:
        UsageError: The file is missing or damaged, lacks an array, or a number is not finite.
    """
    found, close = arrays(path, names)
    try:
        read = {name: np.asarray(found[name][()]) for name in names}
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{path} cannot be read: the file is damaged or cut off") from error
    finally:
        close()
    for name, array in read.items():
        if not np.isfinite(array).all():
            where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
            raise UsageError(f"{path}: {name}: the number at {where} is not finite; leave out what was not measured")
    return read


def observations(
    path: Path, y: str, noise: str | None, measurement: Measurement, field: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Observations ``(rows, m)``, and the standard deviation of each number's noise ``(m,)`` where it is given.

    Args:
        path: The file.
        y: Name of the array of observations: m numbers of one in any shape, or several along the first axis.
        noise: Name of the array of standard deviations, m numbers in any shape; None for none.
        measurement: What gave them; says how many numbers there are.
        field: Any field ``(1, *grid, channels)`` that it can see.

    Raises:
        UsageError: As for :func:`numbers`, or an array has another shape, or a standard deviation is not positive.
    """
    found = numbers(path, [y] if noise is None else [y, noise])
    with torch.no_grad():
        m = measurement.forward(field).shape[1]
    shape = found[y].shape
    if found[y].size != m and (not shape or not shape[0] or found[y][0].size != m):
        raise UsageError(
            f"{path}: {y}: shape {shape}, expected ({m},) or (observations, {m}): {type(measurement).__name__} of a"
            f" field {tuple(field.shape[1:])} gives {m} numbers"
        )
    rows = torch.from_numpy(found[y].astype(np.float64)).reshape(-1, m)
    if noise is None:
        return rows, None
    std = torch.from_numpy(found[noise].astype(np.float64)).flatten()
    if len(std) != m:
        raise UsageError(f"{path}: {noise}: shape {found[noise].shape}, expected ({m},), one for each number of {y}")
    if (std <= 0).any():
        raise UsageError(f"{path}: {noise}: a standard deviation of {std.min():g}; they must be positive")
    return rows, std
