r"""The stationary Allen-Cahn equation u'' + u(u² - 1) = f on [0, L] with Dirichlet values and a made-up solution.

Not the Allen-Cahn equation in time of the PINN literature. Solutions as in :mod:`sciml.equation.poisson1d`; the paper
has ``single`` and ``modulated``.

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_1d.py`` of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from sciml.equation.base import Field
from sciml.equation.high_frequency import MadeUp1d
from sciml.equation.operator import partials


class AllenCahn1d(MadeUp1d):
    """The stationary Allen-Cahn equation on an interval."""

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """What is left, u'' + u(u² - 1) - f, at ``x`` (n, 1): (n, 1)."""
        (along,) = partials(1)
        u, u_xx = field.derivatives(x, along**2)
        made = self.u.value(x)
        return u_xx - self.u.second(x) + (u.pow(3) - u) - (made.pow(3) - made)
