r"""The stationary Allen-Cahn equation Δu + u(u² - 1) = f on [0, L]² with Dirichlet values and a made-up solution.

Solutions as in :mod:`sciml.equation.poisson2d`; the paper has ``multi_scale``.

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_2d.py`` of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.operator import laplacian, partials
from sciml.equation.poisson2d import Poisson2d


class AllenCahn2d(Equation):
    """The stationary Allen-Cahn equation on a square.

    Args:
        solution: Name of the solution.

    Raises:
        ConfigError: There is no such solution.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (0.0, 0.0)
    tolerance = 1e-8  # rounding of f, which is up to 1e4

    def __init__(self, *, solution: str = "multi_scale") -> None:
        self.linear = Poisson2d(solution=solution)
        self.upper = self.linear.upper

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu + u(u² - 1) - f at ``x`` (n, 2): (n, 1)."""
        u, lap = field.derivatives(x, laplacian(*partials(2)))
        made = self.linear.reference(x).to(x.dtype)
        return lap - self.linear.source(x) + (u.pow(3) - u) - (made.pow(3) - made)

    def reference(self, x: Tensor) -> Tensor:
        """The solution u at ``x`` (n, 2): (n, 1), float64."""
        return self.linear.reference(x)
