r"""The five-point operator of −∇·(a ∇u) factored, for many right sides.

Line by line the operator is block tridiagonal, with tridiagonal blocks :math:`B_i` on the diagonal and diagonal ones
:math:`-E_i` beside it, so that elimination (Golub and Van Loan, *Matrix Computations* (2013), section 4.5) is

.. math:: D_1 = B_1, \quad D_{i+1} = B_{i+1} - E_i D_i^{-1} E_i, \qquad
          z_{i+1} = b_{i+1} + E_i D_i^{-1} z_i, \qquad u_i = D_i^{-1} (z_i + E_i u_{i+1}) .

The blocks are positive definite as the operator is, so nothing is pivoted; their inverses are formed, since products
with many columns cost less than triangular solves. On N + 1 nodes a side: some :math:`N^4` operations to factor and
:math:`4 N^3` a right side, of no more memory than :math:`N^3` numbers. Where few right sides are wanted for each
coefficient, the conjugate gradients of :mod:`sciml.equation.darcy` cost less.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.equation.five_point import FivePoint


@final
class Factored:
    """One operator for each sample.

    Args:
        along_x: Coefficients between the nodes along x, as of :class:`sciml.equation.five_point.FivePoint`.
        along_y: The same along y.
    """

    def __init__(self, along_x: Tensor, along_y: Tensor) -> None:
        n = along_x.shape[1]
        self._beside = along_x[:, 1:-1] * n**2  # E, (samples, N − 2, N − 1)
        blocks = torch.diag_embed(FivePoint(along_x, along_y).diagonal)
        across = along_y[:, :, 1:-1] * n**2
        blocks.diagonal(offset=1, dim1=-2, dim2=-1).sub_(across)
        blocks.diagonal(offset=-1, dim1=-2, dim2=-1).sub_(across)
        self._inverses: list[Tensor] = []
        for i, block in enumerate(blocks.unbind(1)):
            if i:
                beside = self._beside[:, i - 1]
                block = block - beside[:, :, None] * self._inverses[-1] * beside[:, None, :]
            self._inverses.append(torch.cholesky_inverse(torch.linalg.cholesky(block)))

    def solve(self, b: Tensor) -> Tensor:
        """The u of A u = b at the inner nodes.

        Args:
            b: Right sides ``(samples, m, N − 1, N − 1)``, or ``(1, m, N − 1, N − 1)`` for all.

        Returns:
            Solutions ``(samples, m, N − 1, N − 1)``.
        """
        lines = b.permute(2, 0, 3, 1)  # line by line, (samples, N − 1, m)
        known = [lines[0]]
        for i, inverse in enumerate(self._inverses[:-1]):
            known.append(lines[i + 1] + self._beside[:, i, :, None] * (inverse @ known[-1]))
        found = [self._inverses[-1] @ known[-1]]
        for i in range(len(known) - 2, -1, -1):
            found.append(self._inverses[i] @ (known[i] + self._beside[:, i, :, None] * found[-1]))
        return torch.stack(found[::-1]).permute(1, 3, 0, 2)
