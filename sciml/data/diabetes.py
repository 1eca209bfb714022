"""Progression of diabetes after one year: 442 patients, 10 inputs, in scikit-learn.

Efron, Hastie, Johnstone and Tibshirani (2004), *Least Angle Regression*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.data.packaged import table


def diabetes() -> tuple[Tensor, Tensor]:
    """All examples in the package's order.

    Returns:
        Inputs ``(442, 10)`` as they were measured, and the progression ``(442, 1)``, from 25 to 346; float64.

    Raises:
        UsageError: The package is not installed.
    """
    parts = {"data_raw": 10, "target": 1}
    x, y = (
        table(
            "diabetes",
            "scikit-learn",
            "sklearn",
            f"datasets/data/diabetes_{name}.csv.gz",
            shape=(442, columns),
            delimiter=" ",
        )
        for name, columns in parts.items()
    )
    return torch.from_numpy(x), torch.from_numpy(y)
