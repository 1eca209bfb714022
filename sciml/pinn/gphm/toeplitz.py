r"""A stationary covariance on an equidistant grid is a Toeplitz matrix: its first column says everything.

Gradients are carried to the n entries of that column, never through the n² of the matrix, so that the sum over the
components of a spectral mixture costs O(nQ). Three more facts make a step cheap.

The slope of a product Tx in the column of T is a correlation, which a fast Fourier transform takes in O(n log n).

A symmetric Toeplitz matrix C commutes with the reversal of its indices, so that in the orthonormal basis of even and
odd vectors it falls apart into two matrices C_± of half the size (Cantoni and Butler, "Eigenvalues and eigenvectors of
symmetric centrosymmetric matrices", Linear Algebra and its Applications 13, 1976): two Cholesky factors of size n/2
cost a quarter of one of size n. :class:`Root` is the square root Rᵀ diag(L_+, L_-) that they make.

The inverse of a Toeplitz matrix is known from its first column x (Gohberg and Semencul, 1972),

.. math:: x_0 C^{-1} = \Lambda(x) \Lambda(x)^T - \Lambda(y) \Lambda(y)^T, \qquad y = (0, x_{n-1}, \ldots, x_1),

Λ(x) lower triangular Toeplitz with first column x. All that the gradient of log det C needs are the sums of C⁻¹ along
its diagonals, Σ_j (n - k - 2j) x_j x_{j+k} / x_0 for the k-th: two correlations, and no inverse.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.linalg import solve_triangular


def toeplitz(column: Tensor, parity: int = 1) -> Tensor:
    """The matrix T_ij = κ(x_i - x_j), (n, n), from κ at the distances x_i - x_0, (n,), i = 0, ..., n-1.

    Args:
        column: κ at the distances.
        parity: 1 for an even κ, -1 for an odd one.
    """
    line = torch.cat([column.flip(0), parity * column[1:]])
    return line.unfold(0, len(column), 1).flip(0)


def correlate(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Σ_j a_{j+k} b_j and Σ_j a_j b_{j+k}, (n,) each, k = 0, ..., n-1, summed over the columns of both (n, m)."""
    n = len(a)
    spectrum = (torch.fft.rfft(a, 2 * n, dim=0) * torch.fft.rfft(b, 2 * n, dim=0).conj()).sum(1)
    found = torch.fft.irfft(spectrum, 2 * n)
    return found[:n], torch.cat([found[:1], found[n + 1 :].flip(0)])


def sums(a: Tensor, b: Tensor, parity: int = 1) -> Tensor:
    """The slope of tr aᵀ T b in the first column of T, (n,), for a and b (n, m): the adjoint of :func:`toeplitz`."""
    below, above = correlate(a, b)
    found = below + parity * above
    found[0] = below[0]
    return found


class _Times(Function):
    @staticmethod
    def forward(ctx: Any, column: Tensor, matrix: Tensor, parity: int, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(matrix, x)
        ctx.parity = parity
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None, Tensor]:  # type: ignore[override]
        matrix, x = ctx.saved_tensors
        n = len(matrix)
        return sums(slope.reshape(n, -1), x.reshape(n, -1), ctx.parity), None, None, matrix.T @ slope


class Toeplitz:
    """A Toeplitz matrix whose products are differentiable in its first column.

    Args:
        column: κ at the distances from the first point, (n,), with its graph.
        parity: 1 for an even κ, -1 for an odd one.

    Attributes:
        matrix: All its entries, (n, n), without graph.
    """

    def __init__(self, column: Tensor, parity: int = 1) -> None:
        self.column, self.parity = column, parity
        self.matrix = toeplitz(column.detach(), parity)

    def __matmul__(self, x: Tensor) -> Tensor:
        """T x for x (n,) or (n, m)."""
        return _Times.apply(self.column, self.matrix, self.parity, x)  # type: ignore[return-value]


def reflect(x: Tensor) -> tuple[Tensor, Tensor]:
    """R x, the coordinates of the columns of ``x`` (n, k) along even (⌈n/2⌉, k) and odd (⌊n/2⌋, k) vectors."""
    half = len(x) // 2
    first, last = x[:half], x[len(x) - half :].flip(0)
    even, odd = (first + last) / math.sqrt(2), (first - last) / math.sqrt(2)
    return (torch.cat([even, x[half : half + 1]]) if len(x) % 2 else even), odd


def unreflect(even: Tensor, odd: Tensor) -> Tensor:
    """Rᵀ of even and odd coordinates: what :func:`reflect` was given."""
    half = len(odd)
    first, last = (even[:half] + odd) / math.sqrt(2), (even[:half] - odd) / math.sqrt(2)
    return torch.cat([first, even[half:], last.flip(0)])


def halves(column: Tensor) -> tuple[Tensor, Tensor]:
    """T_+ and T_-, the blocks of R T Rᵀ, of the symmetric Toeplitz matrix with this first column (n,)."""
    n = len(column)
    half = n // 2
    near = toeplitz(column[:half])
    # T_{i, n-1-j} = κ_{n-1-i-j}.
    far = column.flip(0)[: 2 * half - 1].unfold(0, half, 1)
    even, odd = near + far, near - far
    if n % 2:
        middle = math.sqrt(2) * column[1 : half + 1].flip(0)
        last = torch.cat([middle, column[:1]])
        even = torch.cat([torch.cat([even, middle.unsqueeze(1)], 1), last.unsqueeze(0)])
    return even, odd


class Root:
    """The square root S = Rᵀ diag(L_+, L_-) of a positive definite Toeplitz matrix, C = S Sᵀ; all without graph.

    Args:
        column: First column of C, (n,), n at least 2.

    Raises:
        torch.linalg.LinAlgError: C is not positive definite.
    """

    def __init__(self, column: Tensor) -> None:
        self.even, self.odd = (torch.linalg.cholesky(block) for block in halves(column.detach()))

    @property
    def logdet(self) -> Tensor:
        """The logarithm of det C."""
        return 2 * (self.even.diagonal().log().sum() + self.odd.diagonal().log().sum())

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Even and odd part of whitened columns (n, k)."""
        return z[: len(self.even)], z[len(self.even) :]

    def colour(self, z: Tensor) -> Tensor:
        """S Z for Z (n, k)."""
        even, odd = self.split(z)
        return unreflect(self.even @ even, self.odd @ odd)

    def whiten(self, u: Tensor) -> Tensor:
        """S⁻¹ U for U (n, k)."""
        even, odd = reflect(u)
        return torch.cat([solve_triangular(self.even, even, upper=False), solve_triangular(self.odd, odd, upper=False)])

    def adjoint(self, z: Tensor) -> Tensor:
        """S⁻ᵀ Z for Z (n, k)."""
        even, odd = self.split(z)
        return unreflect(solve_triangular(self.even.T, even, upper=True), solve_triangular(self.odd.T, odd, upper=True))

    def solve(self, right: Tensor) -> Tensor:
        """C⁻¹ B for B (n, k)."""
        even, odd = reflect(right)
        return unreflect(torch.cholesky_solve(even, self.even), torch.cholesky_solve(odd, self.odd))

    def inverse_sums(self) -> Tensor:
        """Sums of C⁻¹ over |i - j| = k, for k = 0, ..., n-1."""
        n = len(self.even) + len(self.odd)
        unit = self.even.new_zeros(n, 1)
        unit[0] = 1
        x = self.solve(unit)
        index = torch.arange(n, dtype=x.dtype, device=x.device)
        plain, moment = correlate(x, x)[0], correlate(x, index.unsqueeze(1) * x)[0]
        found = ((n - index) * plain - 2 * moment) / x[0]
        found[1:] *= 2  # both k and -k
        return found


class _Solve(Function):
    @staticmethod
    def forward(ctx: Any, column: Tensor, root: Root, right: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        solution = root.solve(right)
        ctx.root = root
        ctx.save_for_backward(solution)
        return solution, root.logdet

    @staticmethod
    def backward(ctx: Any, d_solution: Tensor, d_logdet: Tensor) -> tuple[Tensor, None, Tensor]:  # type: ignore[override]
        (solution,) = ctx.saved_tensors
        d_right = ctx.root.solve(d_solution)
        return d_logdet * ctx.root.inverse_sums() - sums(d_right, solution), None, d_right


def solve(column: Tensor, root: Root, right: Tensor) -> tuple[Tensor, Tensor]:
    """C⁻¹ B and log det C of a symmetric positive definite Toeplitz matrix, differentiable.

    Args:
        column: First column of C, (n,); where the gradient goes.
        root: Square root of C.
        right: B, (n, k).

    Returns:
        (n, k) and a scalar.
    """
    return _Solve.apply(column, root, right)  # type: ignore[return-value]
