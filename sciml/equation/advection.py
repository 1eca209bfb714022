r"""Advection u_t + β u_x = 0 on [0, 1]² with initial values sin x and values prescribed at both ends, β = 200.

Its solution is sin(x - βt), 32 waves in time at each place. Other than in :mod:`sciml.equation.convection` space is not
periodic: the interval is a sixth of a wave.

Source: Fang et al. 2024 (arXiv 2311.04465); ``model_GP_solver_advection.py`` of the authors' code, which
also prescribes the values at the end of time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.operator import partials


class Advection(Evolution):
    """Advection past an interval.

    Args:
        beta: Speed β (length per time).
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (1.0, 1.0)

    def __init__(self, *, beta: float = 200.0) -> None:
        self.beta = beta

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t + β ∂u/∂x at ``x`` (n, 2): (n, 1)."""
        t, along = partials(2)
        return field.derivatives(x, t + self.beta * along)[1]

    def initial(self, x: Tensor) -> Tensor:
        """The sine of x at ``x`` (n, 2): (n, 1)."""
        return torch.sin(x[:, 1:])

    def reference(self, x: Tensor) -> Tensor:
        """sin(x - βt) at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        return torch.sin(x[:, 1:] - self.beta * x[:, :1])
