r"""Convection (linear advection): ∂u/∂t + β ∂u/∂x = 0 on t ∈ [0, 1], x ∈ [0, 2π), periodic, u(0, x) = sin x.

Its solution u(t, x) = sin(x − βt) only moves, so that an error made early is carried to the end; for
β ≥ 20 a plain physics-informed network fits the initial values and decays to a constant.

Source: Krishnapriyan, Gholami, Zhe, Kirby and Mahoney, "Characterizing possible failure modes in
physics-informed neural networks", NeurIPS 2021 (arXiv 2109.01050), equations (5), (6) and (9).

The operator is one derivative, along the direction (1, β) in (t, x), and is asked for as one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.operator import partials


class Convection(Evolution):
    """Convection at constant speed.

    Args:
        beta: Speed β (length per time); 30 in the standard test, 50 in the harder one.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (1.0, 2 * math.pi)

    def __init__(self, *, beta: float = 30.0) -> None:
        self.beta = beta

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t + β ∂u/∂x at ``x`` (n, 2): (n, 1)."""
        t, along = partials(2)
        return field.derivatives(x, t + self.beta * along)[1]

    def initial(self, x: Tensor) -> Tensor:
        """The sine of x at ``x`` (n, 2): (n, 1)."""
        return torch.sin(x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """The sine of x plus t free, for a free that is periodic in x."""
        return torch.sin(x[:, 1:]) + x[:, :1] * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Lax and Wendroff's scheme on the points of the grid, with steps of at most 0.9 Δx / β."""
        times, along = (axis.numpy() for axis in axes)
        gap = (times[1] - times[0]) * abs(self.beta) / (along[1] - along[0])
        steps = max(1, math.ceil(gap / 0.9))
        courant = math.copysign(gap / steps, self.beta)
        found = [np.sin(along)]
        for _ in times[1:]:
            u = found[-1]
            for _ in range(steps):
                left, right = np.roll(u, 1), np.roll(u, -1)
                u = u - courant / 2 * (right - left) + courant**2 / 2 * (right - 2 * u + left)
            found.append(u)
        return torch.from_numpy(np.stack(found)).reshape(-1, 1)

    def reference(self, x: Tensor) -> Tensor:
        """sin(x − βt) at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        return torch.sin(x[:, 1:] - self.beta * x[:, :1])
