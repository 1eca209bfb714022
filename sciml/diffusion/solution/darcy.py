r"""From the coefficient to the solution of Darcy flow, :math:`-\nabla\cdot(a\nabla u) = f` with a constant source.

The scheme and solver of :mod:`sciml.equation.darcy`: nodes on the unit square, both ends included, u = 0 on the
boundary. The field x is a logarithm, so that no x is out of range, scaled such that −1 and +1 are two given
coefficients:

.. math:: a = a_{low}^{(1 - x)/2}\, a_{high}^{(1 + x)/2} .
"""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Tensor

from sciml.diffusion.solution.base import Solution, implicit
from sciml.equation.darcy import Darcy as FivePoint
from sciml.equation.darcy import FaceMean
from sciml.equation.five_point_factor import Factored
from sciml.errors import ConfigError
from sciml.ranges import Count, Positive


@final
class Darcy(Solution):
    """Each derivative takes one more solve by conjugate gradients.

    Args:
        shape: Of a field, ``(n, n, 1)`` with n of at least 3.
        low: The coefficient where x is -1.
        high: The coefficient where x is +1; 1/e and e make ``x`` the logarithm itself.
        source: f.
        average: Of two neighbouring coefficients, ``arithmetic`` or ``harmonic``.
        scale: What u is multiplied by.
        rtol: Largest residual, relative to that of u = 0.

    Raises:
        ConfigError: Another shape.
    """

    axes: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        low: Positive = 3.0,
        high: Positive = 12.0,
        source: float = 1.0,
        average: FaceMean = "arithmetic",
        scale: Positive = 1.0,
        rtol: Positive = 1e-10,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 3 or shape[2] != 1:
            raise ConfigError(f"solution darcy needs fields (n, n, 1) with n >= 3, not {tuple(shape)}")
        self.log_middle, self.log_ratio = math.log(low * high) / 2, math.log(high / low) / 2
        self.source, self.scale, self.rtol = source, scale, rtol
        self._scheme = FivePoint(average=average)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * implicit(self._coefficient(x), self._solve, self._residual)[..., None]

    def linearised(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """The same with one direct factorisation for all rows, whose adjoint equations differ on the right only."""
        faces, pull, *_ = torch.func.vjp(lambda x: self._scheme.faces(self._coefficient(x)), x)
        factored = Factored(*faces)
        u = _padded(factored.solve(torch.full_like(x[:1, None, 1:-1, 1:-1, 0], self.source)))
        adjoint = _padded(factored.solve(self.scale * weights[None, :, 1:-1, 1:-1, 0]))
        # The residual is linear in the coefficients between the nodes, each times a difference of u.
        slopes = [
            -((x.shape[1] - 1) ** 2) * adjoint[inner].diff(dim=axis) * u[inner].diff(dim=axis)
            for axis, inner in ((2, (..., slice(1, -1))), (3, (..., slice(1, -1), slice(None))))
        ]
        (rows,) = torch.func.vmap(pull, in_dims=1, out_dims=1)(tuple(slopes))
        return self.scale * u[:, 0, ..., None], rows

    def _coefficient(self, x: Tensor) -> Tensor:
        return (self.log_middle + self.log_ratio * x[..., 0]).exp()

    def _solve(self, a: Tensor, right: Tensor | None) -> Tensor:
        right = torch.full_like(a, self.source) if right is None else right
        return self._scheme.solve(a, right, rtol=self.rtol).u

    def _residual(self, a: Tensor, u: Tensor) -> Tensor:
        return _padded(self._scheme.residual(a, u, torch.full_like(a, self.source)))


def _padded(inner: Tensor) -> Tensor:
    """With the zeros of the boundary."""
    return torch.nn.functional.pad(inner, (1, 1, 1, 1))
