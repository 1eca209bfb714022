r"""Helmholtz: Δu + k² u = q on [−1, 1]², u = 0 on the boundary, with q such that u = sin(a₁πx) sin(a₂πy).

Source: Wang, Teng and Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed neural
networks", SIAM J. Sci. Comput. 43 (2021), arXiv 2001.04536, section 2.2 (k = 1, a₁ = 1, a₂ = 4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.classical import chebyshev, on_grid
from sciml.equation.operator import laplacian, partials
from sciml.errors import ConfigError


class Helmholtz(Equation):
    """Helmholtz with a product of sines as its solution.

    Args:
        a1: Half waves between the ends along x, halved: sin(a₁πx).
        a2: The same along y; 4 in the standard test.
        k: Wave number.

    Raises:
        ConfigError: ``a1`` or ``a2`` is no positive integer, so that u would not vanish on the boundary.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (-1.0, -1.0)
    upper = (1.0, 1.0)

    def __init__(self, *, a1: float = 1.0, a2: float = 4.0, k: float = 1.0) -> None:
        for name, a in (("a1", a1), ("a2", a2)):
            if a <= 0 or a != round(a):
                raise ConfigError(f"{name} is {a:g}; it must be a positive integer, for u to vanish on the boundary")
        self.a1, self.a2, self.k = a1, a2, k

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu + k² u − q at ``x`` (n, 2): (n, 1)."""
        u, lap = field.derivatives(x, laplacian(*partials(2)))
        q = (self.k**2 - math.pi**2 * (self.a1**2 + self.a2**2)) * self._solution(x)
        return lap + self.k**2 * u - q

    def boundary(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, :1])

    def ansatz(self, free: Any, x: Any) -> Any:
        """(1 − x²) (1 − y²) free."""
        return (1 - x[:, :1] ** 2) * (1 - x[:, 1:] ** 2) * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Polynomials of degree 24 in each input, and seven times the larger of a₁ and a₂ if that is more."""
        return on_grid(chebyshev(self, max(24, round(7 * max(self.a1, self.a2)))), axes)

    def reference(self, x: Tensor) -> Tensor:
        """sin(a₁πx) sin(a₂πy) at ``x`` (n, 2): (n, 1), float64."""
        return self._solution(x.double())

    def _solution(self, x: Tensor) -> Tensor:
        return torch.sin(self.a1 * math.pi * x[:, :1]) * torch.sin(self.a2 * math.pi * x[:, 1:])
