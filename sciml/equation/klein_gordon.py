r"""Klein and Gordon, nonlinear: ∂²u/∂t² − ∂²u/∂x² + u³ = f on [0, 1]², f such that u = x cos 5πt + (xt)³.

Initial values x, at rest; boundary values 0 and cos 5πt + t³.

Source: Wang, Teng and Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed neural
networks", SIAM J. Sci. Comput. 43 (2021), arXiv 2001.04536, section 3.2 (α = −1, β = 0, γ = 1, k = 3). The text there
has u = 0 at the start, which is not so for its solution; the authors' code takes the initial values from the solution.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.operator import partials


class KleinGordon(Evolution):
    """A cubic wave equation with a solution that was chosen first."""

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (1.0, 1.0)

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂²u/∂t² − ∂²u/∂x² + u³ − f at ``x`` (n, 2): (n, 1)."""
        in_t, in_x = partials(2)
        u, wave = field.derivatives(x, in_t**2 - in_x**2)
        t, along = x[:, :1], x[:, 1:]
        wave_of_solution = -((5 * math.pi) ** 2) * along * torch.cos(5 * math.pi * t) + 6 * along * t * (
            along**2 - t**2
        )
        return wave + u**3 - wave_of_solution - _solution(x) ** 3

    def initial(self, x: Tensor) -> Tensor:
        """The coordinate x itself at ``x`` (n, 2): (n, 1)."""
        return x[:, 1:]

    def initial_velocity(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """It is x (cos 5πt + t³) + t² x (1 − x) free."""
        t, along = x[:, :1], x[:, 1:]
        return along * (torch.cos(5 * math.pi * t) + t**3) + t**2 * along * (1 - along) * free

    def reference(self, x: Tensor) -> Tensor:
        """The chosen solution at ``x`` (n, 2): (n, 1), float64."""
        return _solution(x.double())


def _solution(x: Tensor) -> Tensor:
    t, along = x[:, :1], x[:, 1:]
    return along * torch.cos(5 * math.pi * t) + (along * t) ** 3
