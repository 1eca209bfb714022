r"""Helmholtz, :math:`\Delta u + k^2 u = a`, and for k = 0 Poisson: the five-point scheme,

.. math:: \frac{u_{i+1,j} - 2 u_{ij} + u_{i-1,j}}{h_x^2} + \frac{u_{i,j+1} - 2 u_{ij} + u_{i,j-1}}{h_y^2}
          + k^2 u_{ij} - a_{ij} .

Signs and scheme are those of the data of Huang et al. (2024), *DiffusionPDE*, whose Poisson equation is
:math:`\Delta u = a`.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.diffusion.joint import Residual
from sciml.ranges import Positive


@final
class Helmholtz(Residual):
    """Args:
    k: Wave number.
    scale: Of a and of u.
    offset: Of a and of u.
    """

    def __init__(self, *, k: float, scale: tuple[Positive, Positive], offset: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(scale=scale, offset=offset)
        self.k = k

    def between(self, a: Tensor, u: Tensor) -> Tensor:
        inverse_x, inverse_y = ((n - 1) ** 2 for n in u.shape[1:])
        bend = u[:, :, 1:-1].diff(n=2, dim=1) * inverse_x + u[:, 1:-1].diff(n=2, dim=2) * inverse_y
        return bend + self.k**2 * u[:, 1:-1, 1:-1] - a[:, 1:-1, 1:-1]
