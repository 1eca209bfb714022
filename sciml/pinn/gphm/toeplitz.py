"""A stationary covariance on an equidistant grid is a Toeplitz matrix: its first column says everything.

Gradients are carried to the n entries of that column, never through the n² of the matrix, so that the sum over the
components of a spectral mixture costs O(nQ).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


def toeplitz(column: Tensor, parity: int = 1) -> Tensor:
    """The matrix T_ij = κ(x_i - x_j), (n, n), from κ at the distances x_i - x_0, (n,), i = 0, ..., n-1.

    Args:
        column: κ at the distances.
        parity: 1 for an even κ, -1 for an odd one.
    """
    line = torch.cat([column.flip(0), parity * column[1:]])
    return line.unfold(0, len(column), 1).flip(0)


def sums(matrix: Tensor) -> Tensor:
    """Sums over |i - j| = k of a matrix (n, n), for k = 0, ..., n-1: the adjoint of :func:`toeplitz`."""
    n = len(matrix)
    # Rows of 2n - 1 that are read with a stride of 2n shift to the left by one each; zeros of the padding enter.
    padded = torch.cat([torch.nn.functional.pad(matrix, (n - 1, 0)).flatten(), matrix.new_zeros(n)])
    diagonals = padded.as_strided((n, 2 * n - 1), (2 * n, 1)).sum(0)
    found = diagonals[n - 1 :].clone()
    found[1:] += diagonals[: n - 1].flip(0)
    return found


class _Solve(Function):
    @staticmethod
    def forward(ctx: Any, column: Tensor, factor: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        solution = torch.cholesky_solve(right, factor)
        ctx.save_for_backward(factor, solution)
        return solution, 2 * factor.diagonal().log().sum()

    @staticmethod
    def backward(ctx: Any, d_solution: Tensor, d_logdet: Tensor) -> tuple[Tensor, None, Tensor]:  # type: ignore[override]
        factor, solution = ctx.saved_tensors
        d_right = torch.cholesky_solve(d_solution, factor)
        d_matrix = d_logdet * torch.cholesky_inverse(factor) - d_right @ solution.T
        return sums(d_matrix), None, d_right


def solve(column: Tensor, factor: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """C⁻¹ B and log det C of a symmetric positive definite Toeplitz matrix, differentiable.

    Args:
        column: First column of C, (n,); where the gradient goes.
        factor: Lower Cholesky factor of C, without graph, (n, n).
        right: B, (n, k).

    Returns:
        (n, k) and a scalar.
    """
    return _Solve.apply(column, factor, right)  # type: ignore[return-value]
