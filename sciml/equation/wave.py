r"""Wave: ∂²u/∂t² = c² ∂²u/∂x² on [0, 1]², u = 0 at x = 0 and 1, at rest at t = 0, where u = sin πx + sin(βπx) / 2.

    u(t, x) = sin πx cos cπt + sin(βπx) cos(cβπt) / 2 ,   c = 2 .

Source: β = 3 in Zhao, Ding and Prakash, "PINNsFormer", ICLR 2024 (arXiv 2307.11833); β = 5 in Rathore, Lei, Frangella,
Lu and Udell, "Challenges in training PINNs: a loss landscape perspective", ICML 2024 (arXiv 2402.01868) and code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.classical import runge_kutta
from sciml.equation.operator import partials
from sciml.errors import ConfigError


class Wave(Evolution):
    """A string that starts with two modes.

    Args:
        beta: Number of half waves of the second mode, a positive integer.
        c: Speed.

    Raises:
        ConfigError: ``beta`` is no positive integer, so that u would not vanish at x = 1.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (1.0, 1.0)

    def __init__(self, *, beta: float = 3.0, c: float = 2.0) -> None:
        if beta <= 0 or beta != round(beta):
            raise ConfigError(f"beta is {beta:g}; it must be a positive integer, for u to vanish at x = 1")
        self.beta, self.c = beta, c

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂²u/∂t² − c² ∂²u/∂x² at ``x`` (n, 2): (n, 1)."""
        t, along = partials(2)
        return field.derivatives(x, t**2 - self.c**2 * along**2)[1]

    def initial(self, x: Tensor) -> Tensor:
        """The two modes at ``x`` (n, 2): (n, 1)."""
        return self._modes(x[:, 1:])

    def initial_velocity(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, 1:])

    def boundary(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """The initial values plus t² x (1 − x) free."""
        t, along = x[:, :1], x[:, 1:]
        return self._modes(along) + t**2 * along * (1 - along) * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Second differences on the points of the grid, Runge-Kutta with steps of at most Δx / c."""
        along = axes[1].numpy()
        gap = along[1] - along[0]

        def slope(_: float, state: np.ndarray) -> np.ndarray:
            found = np.zeros_like(state)
            found[0, 1:-1] = state[1, 1:-1]
            found[1, 1:-1] = (self.c / gap) ** 2 * np.diff(state[0], 2)
            return found

        start = self._modes(axes[1]).numpy()
        u = runge_kutta(slope, np.stack([start, 0 * start]), axes[0].numpy(), gap / self.c)
        return torch.from_numpy(u[:, 0].copy()).reshape(-1, 1)

    def reference(self, x: Tensor) -> Tensor:
        """The two standing waves at ``x`` (n, 2): (n, 1), float64."""
        t, along = math.pi * x.double()[:, :1], math.pi * x.double()[:, 1:]
        slow = torch.sin(along) * torch.cos(self.c * t)
        return slow + torch.sin(self.beta * along) * torch.cos(self.c * self.beta * t) / 2

    def _modes(self, x: Any) -> Any:
        return torch.sin(math.pi * x) + torch.sin(self.beta * math.pi * x) * 0.5
