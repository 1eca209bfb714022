r"""Poisson's equation Δu = f on [0, L]² with Dirichlet values, f made so that u is of high frequency.

Solutions (:mod:`sciml.equation.high_frequency`): ``single`` sin 100x sin 100y and ``sum`` sin 6x cos 20x +
sin 6y cos 20y on [0, 2π]², ``multi_scale`` g(x) g(y) with g(x) = sin x + 0.1 sin 20x + cos 100x on [0, 1]².

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_2d.py`` of the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.high_frequency import surface
from sciml.equation.operator import laplacian, partials


class Poisson2d(Equation):
    """Poisson's equation on a square.

    Args:
        solution: Name of the solution.

    Raises:
        ConfigError: There is no such solution.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (0.0, 0.0)
    tolerance = 1e-8  # rounding of f, which is up to 1e4

    def __init__(self, *, solution: str = "single") -> None:
        self.terms = surface(solution)
        length = self.terms[0][0].length
        self.upper = (length, length)

    def source(self, x: Tensor) -> Tensor:
        """The source f at ``x`` (n, 2): (n, 1)."""
        a, b = x[:, :1], x[:, 1:]
        return torch.stack([p.second(a) * q.value(b) + p.value(a) * q.second(b) for p, q in self.terms]).sum(0)

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu - f at ``x`` (n, 2): (n, 1)."""
        return field.derivatives(x, laplacian(*partials(2)))[1] - self.source(x)

    def reference(self, x: Tensor) -> Tensor:
        """The solution u at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        return torch.stack([p.value(x[:, :1]) * q.value(x[:, 1:]) for p, q in self.terms]).sum(0)
