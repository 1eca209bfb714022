r"""Poisson: −Δu = f on [0, L]², u = 0 on the boundary, with f such that u = sin(πx/L) sin(πy/L).

For L = 1 the test of Müller and Zeinhofer, "Achieving high accuracy with PINNs via energy natural gradient descent",
ICML 2023 (arXiv 2302.13163), ``engd_poisson_2d.py`` of the authors' code. Another L is the same solution on another
scale: f, and with it the mean squared residual of the equation against that of the boundary, changes with L⁻², and the
loss with L⁻⁴ (the domain scaling of Yao et al., "MultiAdam", ICML 2023, arXiv 2306.02816, whose own domain has holes).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.operator import laplacian, partials
from sciml.ranges import Positive


class Poisson(Equation):
    """Poisson with one half wave along each side as its solution.

    Args:
        length: Side L of the domain.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (0.0, 0.0)

    def __init__(self, *, length: Positive = 1.0) -> None:
        self.length = length
        self.upper = (length, length)

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu + f at ``x`` (n, 2): (n, 1)."""
        _, lap = field.derivatives(x, laplacian(*partials(2)))
        return lap + 2 * (math.pi / self.length) ** 2 * self._solution(x)

    def boundary(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, :1])

    def ansatz(self, free: Any, x: Any) -> Any:
        """16 x (L − x) y (L − y) / L⁴ free, whose factor is 1 in the middle."""
        along, across = x[:, :1] * (1 / self.length), x[:, 1:] * (1 / self.length)
        return 16 * along * (1 - along) * across * (1 - across) * free

    def reference(self, x: Tensor) -> Tensor:
        """sin(πx/L) sin(πy/L) at ``x`` (n, 2): (n, 1), float64."""
        return self._solution(x.double())

    def _solution(self, x: Tensor) -> Tensor:
        return torch.sin(math.pi / self.length * x).prod(dim=1, keepdim=True)
