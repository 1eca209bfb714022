r"""Poisson's equation u'' = f on [0, L] with Dirichlet values, f made for a u of high or mixed frequency.

The solutions (:mod:`sciml.equation.high_frequency`): ``single`` sin 100x, ``growing`` x sin 200x, ``modulated``
sin 6x cos 100x, ``multi_scale`` sin x + 0.1 sin 20x + 0.05 cos 100x, ``parabola`` sin 500x - 2(x - ½)². A plain
physics-informed network fits none of them: |f| is 10⁴ to 10⁵ where |u| is 1, and networks learn low frequencies first.

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_1d.py`` of the authors' code.
"""

from __future__ import annotations

from torch import Tensor

from sciml.equation.base import Field
from sciml.equation.high_frequency import MadeUp1d
from sciml.equation.operator import partials


class Poisson1d(MadeUp1d):
    """Poisson's equation on an interval."""

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """What is left, u'' - f, at ``x`` (n, 1): (n, 1)."""
        (along,) = partials(1)
        return field.derivatives(x, along**2)[1] - self.u.second(x)
