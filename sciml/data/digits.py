"""Handwritten digits of 8 x 8 pixels: 1797 examples, 10 classes, in scikit-learn.

Alpaydin and Kaynak (1998), *Optical Recognition of Handwritten Digits*, UCI; the test part of it, as scikit-learn
carries it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.data.packaged import table


def digits() -> tuple[Tensor, Tensor]:
    """All examples in the package's order.

    Returns:
        Pixels ``(1797, 64)`` in [0, 1], float64, and classes ``(1797,)``, int64.

    Raises:
        UsageError: The package is not installed.
    """
    file = "datasets/data/digits.csv.gz"
    rows = torch.from_numpy(table("digits", "scikit-learn", "sklearn", file, shape=(1797, 65), delimiter=","))
    return rows[:, :-1] / 16, rows[:, -1].long()
