r"""From the initial to a later vorticity of a two-dimensional incompressible flow on the unit torus.

The equation and solver of :mod:`sciml.equation.navier_stokes`, with steps of fixed size, so that its derivatives are
those of what it computes, by automatic differentiation. Of a field of n points a side the solver keeps the wavenumbers
up to (n − 1) / 3, free of aliasing; what x holds above them it does not see.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal, final

from torch import Tensor

from sciml.diffusion.solution.base import Solution
from sciml.equation import navier_stokes as equation
from sciml.equation.spectral import analyse, highest
from sciml.errors import ConfigError
from sciml.ranges import Count, NonNegative, Positive


@final
class NavierStokes(Solution):
    """Vorticity in, vorticity out.

    Args:
        shape: Of a field, ``(n, n, 1)`` with n of at least 4.
        nu: Viscosity.
        time: How much later.
        step: Largest step of the solver.
        forcing: ``diagonal``, as in Li et al. (2021), or ``none``.
        amplitude: Of the forcing.
        scale: What the later vorticity is multiplied by.

    Raises:
        ConfigError: Another shape.
    """

    axes: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        nu: Positive = 1e-3,
        time: Positive = 1.0,
        step: Positive = 0.05,
        forcing: Literal["diagonal", "none"] = "diagonal",
        amplitude: NonNegative = 0.1,
        scale: Positive = 1.0,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 4 or shape[2] != 1:
            raise ConfigError(f"solution navier_stokes needs fields (n, n, 1) with n >= 4, not {tuple(shape)}")
        laws = {"diagonal": partial(equation.diagonal_forcing, amplitude=amplitude), "none": None}
        self.points, self.time, self.step, self.scale = shape[0], time, step, scale
        self._equation = equation.NavierStokes(nu=nu, forcing=laws[forcing])

    def forward(self, x: Tensor) -> Tensor:
        start = analyse(x[..., 0], highest(self.points), 2)
        found = self._equation.solve(start, resolution=self.points, dt=self.time, frames=2, step=self.step)
        return self.scale * found[:, 1, :, :, None]
