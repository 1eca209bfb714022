r"""Darcy flow, :math:`\nabla\cdot(a \nabla u) + f = 0` with a constant source, by the scheme of the data.

The five-point scheme in divergence form of :mod:`sciml.equation.darcy`, whose fluxes have coefficients between the
nodes. Deviation from Huang et al. (2024), *DiffusionPDE*: their code takes central differences twice, over two
intervals, of another scheme than their data, and leaves out 1/h, so that what is called a residual is about f wherever
u is smooth.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.joint import Residual
from sciml.equation.darcy import Darcy as FivePoint
from sciml.equation.darcy import FaceMean
from sciml.errors import ConfigError
from sciml.ranges import Positive


@final
class Darcy(Residual):
    """Square grids.

    Args:
        source: f.
        average: Of two neighbouring coefficients, ``arithmetic`` or ``harmonic``, as in the data.
        scale: Of a and of u.
        offset: Of a and of u.
    """

    def __init__(
        self,
        *,
        source: float = 1.0,
        average: FaceMean = "arithmetic",
        scale: tuple[Positive, Positive],
        offset: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__(scale=scale, offset=offset)
        self.source, self.scheme = source, FivePoint(average=average)

    def between(self, a: Tensor, u: Tensor) -> Tensor:
        if a.shape[1] != a.shape[2]:
            raise ConfigError(f"residual darcy needs a square grid, not {tuple(a.shape[1:])}")
        return self.scheme.residual(a, u, torch.full_like(a, self.source))
