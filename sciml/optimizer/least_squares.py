r"""Damped linear least squares: :math:`\min_d \|J d - r\|^2 + \lambda \|d\|^2`, for several dampings of one J.

.. math:: d = (J^T J + \lambda I)^{-1} J^T r = J^T (J J^T + \lambda I)^{-1} r,

by a Cholesky factor of the smaller of the two matrices, in float64. Squaring J leaves of a damping below
:math:`\varepsilon \|J\|^2` nothing but rounding errors; where the factorisation fails for that reason, or has a pivot
that small, d comes from an orthogonal factorisation of :math:`(J, \sqrt\lambda I)`, which does not square and takes
several times as long.
:class:`sciml.linalg.woodbury.Woodbury` answers more questions about one damping; here the Gram matrix outlives it.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.linalg.woodbury import add_moments

ROUNDING = 10.0  # pivots below so many rounding errors of the largest entry are lost


@final
class DampedLeastSquares:
    """Directions for one Jacobian.

    Args:
        jacobian: J (n, P), finite, float32 or float64.

    Attributes:
        orthogonal: How many of the answers took an orthogonal factorisation.
    """

    def __init__(self, jacobian: Tensor) -> None:
        self.jacobian = jacobian.double()
        n, width = self.jacobian.shape
        self.dual = n < width
        rows = self.jacobian.T if self.dual else self.jacobian
        self.gram = rows.new_zeros(rows.shape[1], rows.shape[1])
        add_moments(self.gram, rows)
        self.orthogonal = 0
        self._factor: tuple[float, Tensor | None] = (-1.0, None)  # the last damping, and the factor if it is of use

    def solve(self, residual: Tensor, damping: float) -> Tensor:
        """D (P,) for r (n,) and a positive damping, in float64."""
        r = residual.double()
        if self._factor[0] != damping:
            self._factor = damping, self._cholesky(damping)
        factor = self._factor[1]
        if factor is None:
            return self._orthogonal(r, damping)
        if self.dual:
            return self.jacobian.T @ torch.cholesky_solve(r[:, None], factor)[:, 0]
        return torch.cholesky_solve((self.jacobian.T @ r)[:, None], factor)[:, 0]

    def _cholesky(self, damping: float) -> Tensor | None:
        matrix = self.gram.clone()
        matrix.diagonal().add_(damping)
        factor, info = torch.linalg.cholesky_ex(matrix)
        lost = ROUNDING * torch.finfo(torch.float64).eps * float(matrix.diagonal().max())
        return None if int(info) or float(factor.diagonal().min()) ** 2 < lost else factor

    def _orthogonal(self, r: Tensor, damping: float) -> Tensor:
        self.orthogonal += 1
        n, width = self.jacobian.shape
        # Below this share of J the damping would be lost once more.
        least = min(n, width) * torch.finfo(r.dtype).eps * float(self.gram.diagonal().max()) ** 0.5
        edge = max(damping**0.5, least) * torch.eye(min(n, width), dtype=r.dtype, device=r.device)
        if self.dual:  # the shortest (d, e) with J d + √λ e = r
            wide = torch.cat([self.jacobian, edge], dim=1)
            return torch.linalg.lstsq(wide, r[:, None], driver="gels").solution[:width, 0]
        tall = torch.cat([self.jacobian, edge])
        return torch.linalg.lstsq(tall, torch.cat([r, r.new_zeros(width)])[:, None], driver="gels").solution[:, 0]
