r"""The inverse of a multiple of the identity plus a sum of outer products, without a matrix of its size.

With rows :math:`r_1 \dots r_m` of :math:`R` ``(m, d)``, a damping :math:`\lambda > 0` and a scale :math:`s`,

.. math:: A = \lambda I + \tfrac{1}{s} R^T R, \qquad
          A^{-1} v = \tfrac{1}{\lambda}\big(v - R^T (s\lambda I + R R^T)^{-1} R\,v\big), \qquad
          A^{-1} R^T c = s\,R^T (s\lambda I + R R^T)^{-1} c,

Woodbury (1950), *Inverting Modified Matrices*, and the push-through identity. One Gram matrix and one Cholesky
factor of the smaller side, m or d, answer everything. ``s = m`` and gradients for rows give the damped empirical
Fisher of M-FAC; ``s = 1`` and rows :math:`S^T J` give a damped generalised Gauss-Newton matrix.

The first form subtracts nearly equal numbers where v lies among the rows and :math:`s\lambda` is small beside
:math:`\|r\|^2`: it loses a factor :math:`\|r\|^2/(s\lambda)` of precision. Hence all arithmetic is in float64, also
for rows that are stored in float32, which are converted a piece at a time; and whoever knows that v is a
combination of rows should say so (:meth:`Woodbury.solve_rows`), for nothing is lost there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

STRIPE = 256  # columns of a matrix of moments that are added to at one time
CHUNK = 1 << 21  # entries of the rows that are in float64 at one time: 16 MB
CACHED = 1 << 19  # the same for a product with a single vector, whose cost is the traffic: 4 MB


@final
class Woodbury:
    r"""The inverse of :math:`\lambda I + R^T R/s`.

    Args:
        rows: R, ``(m, d)``, float32 or float64. Kept, not copied: :meth:`replace` writes into it.
        damping: Lambda, positive.
        scale: s, positive.
        gram: :math:`R R^T`, ``(m, m)`` in float64, if it is known; kept and written into. With it the Gram matrix
            of the rows is used even where the other side is smaller.
        filled: Only the first so many rows are not zero; the others cost nothing until :meth:`replace` fills them.
            All by default.

    Raises:
        ValueError: A shape, a dtype, the damping or the scale is not as above, or the rows are not finite.
    """

    def __init__(
        self,
        rows: Tensor,
        damping: float,
        *,
        scale: float = 1.0,
        gram: Tensor | None = None,
        filled: int | None = None,
    ) -> None:
        if rows.dim() != 2 or rows.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"rows must be (m, d) in float32 or float64, not {tuple(rows.shape)} in {rows.dtype}")
        for name, number in (("damping", damping), ("scale", scale)):
            if not 0 < number < float("inf"):
                raise ValueError(f"{name} is {number}; it must be positive")
        m, d = rows.shape
        if gram is not None and (gram.shape != (m, m) or gram.dtype != torch.float64):
            raise ValueError(f"gram must be ({m}, {m}) in float64, not {tuple(gram.shape)} in {gram.dtype}")
        self.rows, self.damping, self.scale = rows, float(damping), float(scale)
        self.filled = m if filled is None else filled
        self._dual = gram is not None or m <= d
        self._gram = gram if gram is not None else self._products() if self._dual else self._moments()
        self._factor: Tensor | None = None

    @classmethod
    def of_moments(cls, moments: Tensor, damping: float, *, scale: float = 1.0) -> Woodbury:
        r"""The same from :math:`R^T R` ``(d, d)`` in float64, kept, for rows that nobody holds.

        What asks for the rows (:meth:`solve_rows`, :meth:`against_rows`, :meth:`replace`) finds none.

        Raises:
            ValueError: A shape, a dtype, the damping or the scale is not as above.
        """
        if moments.dim() != 2 or moments.shape[0] != moments.shape[1] or moments.dtype != torch.float64:
            raise ValueError(f"moments must be (d, d) in float64, not {tuple(moments.shape)} in {moments.dtype}")
        made = cls(moments.new_empty(0, 0), damping, scale=scale)
        made.rows, made._gram, made._dual = moments.new_empty(0, len(moments)), moments, False
        return made

    def solve(self, v: Tensor) -> Tensor:
        r""":math:`A^{-1} v` of vectors ``(..., d)``, in float64."""
        flat = v.double().reshape(-1, v.shape[-1])
        if self._dual:
            out = (flat - self._combine(self._inverse(self._inner(flat)))) / self.damping
        else:
            out = self.scale * self._inverse(flat)
        return out.reshape(v.shape)

    def solve_rows(self, c: Tensor) -> Tensor:
        r""":math:`A^{-1} R^T c` of coefficients ``(..., m)``: ``(..., d)`` in float64, without cancellation."""
        flat = c.double().reshape(-1, c.shape[-1])[:, : self.filled]
        out = self._combine(self._inverse(flat)) if self._dual else self._inverse(self._combine(flat))
        return (self.scale * out).reshape(*c.shape[:-1], -1)

    def against_rows(self, v: Tensor) -> Tensor:
        r""":math:`v^T A^{-1} R^T` of vectors ``(n, d)``: ``(n, m)`` in float64, without cancellation."""
        if self._dual:
            out = v.new_zeros(len(v), len(self.rows), dtype=torch.float64)  # a row that is zero gives zero
            out[:, : self.filled] = self._inverse(self._inner(v.double()))
            return self.scale * out
        return self.scale * self._inverse(v.double()) @ self.rows.double().T

    def quadratic(self, u: Tensor, v: Tensor) -> Tensor:
        r""":math:`u^T A^{-1} v` for all pairs of vectors ``(a, d)`` and ``(b, d)``: ``(a, b)`` in float64."""
        u, v = u.double(), v.double()
        if self._dual:
            return (u @ v.T - self._half(self._inner(u)).T @ self._half(self._inner(v))) / self.damping
        return self.scale * self._half(u).T @ self._half(v)

    def diagonal(self) -> Tensor:
        r"""All :math:`(A^{-1})_{ii}`, ``(d,)`` in float64; takes :math:`O(d m^2)`."""
        if not self._dual:
            return self.scale * torch.cholesky_inverse(self._cholesky()).diagonal().clone()
        squares = [self._half(part.T).square().sum(0) for _, part in self._parts()]
        return (1 - torch.cat(squares)) / self.damping

    def elements(self, i: Tensor, j: Tensor) -> Tensor:
        r""":math:`(A^{-1})_{ij}` for pairs of indices ``(n,)`` and ``(n,)``: ``(n,)`` in float64."""
        if self._dual:
            left, right = (self._half(self.rows[: self.filled, k].double().T) for k in (i, j))
            return ((i == j).double() - (left * right).sum(0)) / self.damping
        left, right = (self._half(torch.eye(self.rows.shape[1]).to(self._gram)[k]) for k in (i, j))
        return self.scale * (left * right).sum(0)

    def replace(self, index: int, row: Tensor) -> None:
        """Put ``row`` ``(d,)`` in the place of row ``index``; :math:`O(dm)`, and the next question a factor of the
        smaller side.

        Raises:
            IndexError: There is no such row, or rows before it are still to be filled.
        """
        if not 0 <= index <= min(self.filled, len(self.rows) - 1):
            raise IndexError(f"row {index} of {len(self.rows)}, of which {self.filled} are filled")
        old = self.rows[index].double().clone()
        self.rows[index] = row
        new = self.rows[index].double()
        self.filled = max(self.filled, index + 1)
        if self._dual:
            self._gram[index, : self.filled] = self._gram[: self.filled, index] = self._inner(new[None])[0]
        else:
            self._gram += torch.outer(new, new) - torch.outer(old, old)
        self._factor = None

    def _cholesky(self) -> Tensor:
        if self._factor is not None:
            return self._factor
        n = self.filled if self._dual else len(self._gram)
        matrix = self._gram[:n, :n].clone()
        matrix.diagonal().add_(self.scale * self.damping)
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) != 0:
            if not bool(matrix.isfinite().all()):
                raise ValueError("the rows are not finite")
            raise ValueError(f"damping {self.damping:g} is below the rounding errors of rows this large; raise it")
        self._factor = factor
        return factor

    def _inverse(self, c: Tensor) -> Tensor:
        """The inverse of the small matrix, of each row of ``c``."""
        return torch.cholesky_solve(c.T, self._cholesky()).T

    def _half(self, c: Tensor) -> Tensor:
        """The inverse of the small matrix's Cholesky factor, of each row of ``c``; as columns."""
        return torch.linalg.solve_triangular(self._cholesky(), c.T, upper=False)

    def _parts(self) -> Iterator[tuple[slice, Tensor]]:
        """The filled rows in float64, some columns at a time."""
        width = max(1, CHUNK // max(1, self.filled))
        for start in range(0, self.rows.shape[1], width):
            columns = slice(start, min(start + width, self.rows.shape[1]))
            yield columns, self.rows[: self.filled, columns].double()

    def _runs(self) -> Iterator[tuple[slice, Tensor]]:
        """The filled rows in float64, some whole rows at a time: contiguous, which a single vector wants."""
        height = max(1, CACHED // max(1, self.rows.shape[1]))
        buffer = self.rows.new_empty(height, self.rows.shape[1], dtype=torch.float64)
        for start in range(0, self.filled, height):
            run = slice(start, min(start + height, self.filled))
            yield run, buffer[: run.stop - start].copy_(self.rows[run])

    def _inner(self, v: Tensor) -> Tensor:
        r""":math:`R v` of each row of ``v`` ``(n, d)``: ``(n, filled)``."""
        out = v.new_zeros(len(v), self.filled)
        if len(v) == 1:
            for run, part in self._runs():
                out[0, run] = part @ v[0]
        else:
            for columns, part in self._parts():
                out += v[:, columns] @ part.T
        return out

    def _combine(self, c: Tensor) -> Tensor:
        r""":math:`R^T c` of each row of ``c`` ``(n, filled)``: ``(n, d)``."""
        if len(c) != 1:
            return torch.cat([c @ part for _, part in self._parts()], dim=1)
        out = c.new_zeros(1, self.rows.shape[1])
        for run, part in self._runs():
            out[0].addmv_(part.T, c[0, run])
        return out

    def _products(self) -> Tensor:
        gram = self.rows.new_zeros(len(self.rows), len(self.rows), dtype=torch.float64)
        for _, part in self._parts():
            gram[: self.filled, : self.filled] += part @ part.T
        return gram

    def _moments(self) -> Tensor:
        size = self.rows.shape[1]
        moments = self.rows.new_zeros(size, size, dtype=torch.float64)
        add_moments(moments, self.rows[: self.filled].double())
        return moments


def add_moments(moments: Tensor, rows: Tensor) -> None:
    r"""Add :math:`R^T R` of rows ``(m, d)`` to a symmetric matrix ``(d, d)``: half the products, the rest is copied."""
    for i in range(0, len(moments), STRIPE):
        here = slice(i, i + STRIPE)
        new = rows[:, here].T @ rows[:, i:]
        moments[here, i:] += new
        moments[i + STRIPE :, here] += new[:, STRIPE:].T


@final
class BlockWoodbury:
    r"""The same for a block-diagonal matrix: of :math:`R^T R` only square blocks on the diagonal are kept.

    Args:
        rows: R, ``(m, d)``; kept, not copied.
        damping: Lambda, positive.
        scale: s, positive.
        block_size: Columns of a block; the last one is smaller where they do not fit. None is one block, of all.

    Raises:
        ValueError: As for :class:`Woodbury`, or the block size is not positive.
    """

    def __init__(self, rows: Tensor, damping: float, *, scale: float = 1.0, block_size: int | None = None) -> None:
        if block_size is not None and block_size < 1:
            raise ValueError(f"block_size is {block_size}; it must be positive, or null for one block")
        self._size = rows.shape[-1] if block_size is None else block_size
        self._blocks = [Woodbury(part, damping, scale=scale) for part in rows.split(self._size, dim=-1)]

    def solve(self, v: Tensor) -> Tensor:
        r""":math:`A^{-1} v` of vectors ``(..., d)``, in float64."""
        parts = v.split(self._size, dim=-1)
        return torch.cat([block.solve(part) for block, part in zip(self._blocks, parts, strict=True)], dim=-1)

    def solve_rows(self, c: Tensor) -> Tensor:
        r""":math:`A^{-1} R^T c` of coefficients ``(..., m)``: ``(..., d)`` in float64, without cancellation."""
        return torch.cat([block.solve_rows(c) for block in self._blocks], dim=-1)

    def quadratic(self, u: Tensor, v: Tensor) -> Tensor:
        r""":math:`u^T A^{-1} v` for all pairs of vectors ``(a, d)`` and ``(b, d)``: ``(a, b)`` in float64."""
        pairs = zip(self._blocks, u.split(self._size, dim=-1), v.split(self._size, dim=-1), strict=True)
        return torch.stack([block.quadratic(*parts) for block, *parts in pairs]).sum(0)

    def diagonal(self) -> Tensor:
        r"""All :math:`(A^{-1})_{ii}`, ``(d,)`` in float64."""
        return torch.cat([block.diagonal() for block in self._blocks])
