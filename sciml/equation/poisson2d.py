r"""Poisson's equation Δu = f on [0, L]² with Dirichlet values, f made so that u is of high frequency.

Solutions (:mod:`sciml.equation.high_frequency`): ``single`` sin 100x sin 100y and ``sum`` sin 6x cos 20x +
sin 6y cos 20y on [0, 2π]², ``multi_scale`` g(x) g(y) with g(x) = sin x + 0.1 sin 20x + cos 100x on [0, 1]².

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_2d.py`` of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from sciml.equation.base import Field
from sciml.equation.high_frequency import MadeUp2d
from sciml.equation.operator import laplacian, partials


class Poisson2d(MadeUp2d):
    """Poisson's equation on a square."""

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu - f at ``x`` (n, 2): (n, 1)."""
        return field.derivatives(x, laplacian(*partials(2)))[1] - self.laplacian(x)
