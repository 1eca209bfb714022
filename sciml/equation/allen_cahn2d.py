r"""The stationary Allen-Cahn equation Δu + u(u² - 1) = f on [0, L]² with Dirichlet values and a made-up solution.

Solutions as in :mod:`sciml.equation.poisson2d`; the paper has ``multi_scale``.

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_2d.py`` of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from sciml.equation.base import Field
from sciml.equation.high_frequency import MadeUp2d
from sciml.equation.operator import laplacian, partials


class AllenCahn2d(MadeUp2d):
    """The stationary Allen-Cahn equation on a square."""

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu + u(u² - 1) - f at ``x`` (n, 2): (n, 1)."""
        u, lap = field.derivatives(x, laplacian(*partials(2)))
        made = self.reference(x).to(x.dtype)
        return lap - self.laplacian(x) + (u.pow(3) - u) - (made.pow(3) - made)
