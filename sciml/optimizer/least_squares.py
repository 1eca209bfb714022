r"""Damped linear least squares: :math:`\min_d \|J d - r\|^2 + \lambda \|d\|^2`, for several dampings of one J.

.. math:: d = (J^T J + \lambda I)^{-1} J^T r = J^T (J J^T + \lambda I)^{-1} r,

by a Cholesky factor of the smaller of the two matrices, in float64. Squaring J leaves of a damping below
:math:`\varepsilon \|J\|^2` nothing but rounding errors; where the factorisation fails for that reason, or has a pivot
that small, d comes from an orthogonal factorisation of :math:`(J, \sqrt\lambda I)`, which does not square and takes
several times as long. Where an approximate d will do, conjugate gradients on J itself, preconditioned by a factor of a
Gram matrix that rounding has damaged, are cheaper.
:class:`sciml.linalg.woodbury.Woodbury` answers more questions about one damping; here the Gram matrix outlives it.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sciml.linalg.woodbury import add_moments

ROUNDING = 10.0  # pivots below so many rounding errors of the largest entry are lost
RAISE = 4.0  # factor of the damping of a preconditioner, until it can be factorised


@final
class DampedLeastSquares:
    """Directions for one Jacobian.

    Args:
        jacobian: J (n, P), finite, float32 or float64.

    Attributes:
        largest: The largest entry of the Gram matrix, which is on its diagonal.
        orthogonal: How many of the answers took an orthogonal factorisation.
    """

    def __init__(self, jacobian: Tensor) -> None:
        self.jacobian = jacobian.double()
        n, width = self.jacobian.shape
        self.dual = n < width
        rows = self.jacobian.T if self.dual else self.jacobian
        self.gram = rows.new_zeros(rows.shape[1], rows.shape[1])
        add_moments(self.gram, rows)
        self.largest = float(self.gram.diagonal().max())
        self.orthogonal = 0
        self._factor: tuple[float, Tensor | None] = (-1.0, None)  # the last damping, and the factor if it is of use
        self._near: tuple[float, Tensor] = (-1.0, self.gram)  # the same, of this or the next damping that has one

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

    def approach(self, residual: Tensor, damping: float, iterations: int) -> Tensor:
        """Like :meth:`solve`, but near the solution only, and never by an orthogonal factorisation.

        The first answer is that of the factor, of a larger damping where rounding leaves none of this one; then
        come ``iterations`` of conjugate gradients, preconditioned by it, each with two products with J.
        """
        r = residual.double()
        tall = self.jacobian.T if self.dual else self.jacobian
        factor = self._preconditioner(damping)

        def divided(v: Tensor) -> Tensor:
            return torch.cholesky_solve(v[:, None], factor)[:, 0]

        right = r if self.dual else tall.T @ r
        found = divided(right)
        if iterations:
            rest = right - (tall.T @ (tall @ found) + damping * found)
            towards = divided(rest)
            way, size = towards, rest @ towards
            for _ in range(iterations):
                if not float(size) > 0:  # nothing is left, or nothing but rounding errors
                    break
                image = tall.T @ (tall @ way) + damping * way
                length = size / (way @ image)
                found, rest = found + length * way, rest - length * image
                towards = divided(rest)
                before, size = size, rest @ towards
                way = towards + (size / before) * way
        return tall @ found if self.dual else found

    def _preconditioner(self, damping: float) -> Tensor:
        if self._near[0] != damping:
            tried, (factor, failed) = damping, self._factorised(damping)
            while int(failed) and tried < math.inf:
                tried = max(RAISE * tried, torch.finfo(torch.float64).eps * self.largest)
                factor, failed = self._factorised(tried)
            self._near = damping, factor
        return self._near[1]

    def _factorised(self, damping: float) -> tuple[Tensor, Tensor]:
        matrix = self.gram.clone()
        matrix.diagonal().add_(damping)
        return torch.linalg.cholesky_ex(matrix)

    def _cholesky(self, damping: float) -> Tensor | None:
        factor, info = self._factorised(damping)
        lost = ROUNDING * torch.finfo(torch.float64).eps * (self.largest + damping)
        return None if int(info) or float(factor.diagonal().min()) ** 2 < lost else factor

    def _orthogonal(self, r: Tensor, damping: float) -> Tensor:
        self.orthogonal += 1
        n, width = self.jacobian.shape
        # Below this share of J the damping would be lost once more.
        least = min(n, width) * torch.finfo(r.dtype).eps * self.largest**0.5
        edge = max(damping**0.5, least) * torch.eye(min(n, width), dtype=r.dtype, device=r.device)
        if self.dual:  # the shortest (d, e) with J d + √λ e = r
            wide = torch.cat([self.jacobian, edge], dim=1)
            return torch.linalg.lstsq(wide, r[:, None], driver="gels").solution[:width, 0]
        tall = torch.cat([self.jacobian, edge])
        return torch.linalg.lstsq(tall, torch.cat([r, r.new_zeros(width)])[:, None], driver="gels").solution[:, 0]
