r"""Darcy flow −∇·(a ∇u) = f on the unit square, u = 0 on its boundary.

The five-point scheme on N + 1 nodes a side, both ends included, h = 1/N, with the coefficient given at the nodes:

    (A u)_ij = h⁻² [ a_{i+½,j} (u_ij − u_{i+1,j}) + a_{i−½,j} (u_ij − u_{i−1,j}) + the same along j ] = f_ij ,

a_{i+½,j} the arithmetic or harmonic mean of its two nodes. Of second order where a is smooth. The arithmetic mean is
what the published data of Li et al. (arXiv 2010.08895) were made with (their ``solve_gwf.m``).

A is never stored as a matrix. Conjugate gradients (:mod:`sciml.linalg.lock_step`) solve many samples in lock step,
preconditioned by one V-cycle over grids that end in sine transforms (:mod:`sciml.equation.five_point`): 12 iterations
leave 1e-8 for coefficients 3 and 12 on any grid with an even N. Where N is odd the sine transform is all of the
preconditioner, an inverse Laplacian; the condition number is then that of the coefficient, max a / min a, and 20
iterations are needed. Solutions are float64, the preconditioner float32.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from sciml.equation.five_point import Cycle, FivePoint
from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients

FaceMean = Literal["arithmetic", "harmonic"]
_TOGETHER = 2**17  # unknowns in lock step on a CPU: what stays in its cache


class Solved(NamedTuple):
    """What a solver found.

    Attributes:
        u: Solutions ``(n, N + 1, N + 1)``.
        iterations: What each took, ``(n,)``.
        residual: ‖f − A u‖ / ‖f‖ of each, computed from ``u``, ``(n,)``.
    """

    u: Tensor
    iterations: Tensor
    residual: Tensor


class Darcy:
    """The five-point scheme.

    Args:
        average: ``arithmetic`` or ``harmonic`` mean of two nodes.

    Raises:
        ValueError: Another mean.
    """

    def __init__(self, *, average: FaceMean = "arithmetic") -> None:
        if average not in ("arithmetic", "harmonic"):
            raise ValueError(f"average is '{average}'; it must be 'arithmetic' or 'harmonic'")
        self.average = average

    def faces(self, a: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients between the nodes, of ``a`` (n, N + 1, N + 1): along x (n, N, N − 1), along y (n, N − 1, N)."""
        pairs = (a[:, 1:, 1:-1], a[:, :-1, 1:-1]), (a[:, 1:-1, 1:], a[:, 1:-1, :-1])
        if self.average == "harmonic":
            return tuple(2 * left * right / (left + right) for left, right in pairs)  # type: ignore[return-value]
        return tuple((left + right) / 2 for left, right in pairs)  # type: ignore[return-value]

    def residual(self, a: Tensor, u: Tensor, f: Tensor) -> Tensor:
        """What is left, f − A u, at the inner nodes, ``(n, N − 1, N − 1)``.

        Args:
            a: Coefficients ``(n, N + 1, N + 1)``.
            u: Values of the same shape; those on the boundary count.
            f: Sources that broadcast with that shape.
        """
        along_x, along_y = self.faces(a)
        flux_x = along_x * u[:, :, 1:-1].diff(dim=1)
        flux_y = along_y * u[:, 1:-1].diff(dim=2)
        divergence = (flux_x.diff(dim=1) + flux_y.diff(dim=2)) * (a.shape[-1] - 1) ** 2
        return f.expand_as(a)[:, 1:-1, 1:-1] + divergence

    def solve(self, a: Tensor, f: Tensor, *, rtol: float = 1e-8, iterations: int = 500) -> Solved:
        """Solve for all coefficients.

        Args:
            a: Positive coefficients ``(n, N + 1, N + 1)``; computed with in float64.
            f: Sources that broadcast with that shape.
            rtol: Largest residual, relative to that of u = 0.
            iterations: Allowed.

        Raises:
            RunError: They were not enough.
        """
        a = a.double()
        sources = f.double().expand_as(a)
        part = max(1, _TOGETHER // a[0].numel()) if a.device.type == "cpu" else len(a)
        found = [self._solve(*pair, rtol, iterations) for pair in zip(a.split(part), sources.split(part), strict=True)]
        return Solved(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _solve(self, a: Tensor, f: Tensor, rtol: float, iterations: int) -> Solved:
        inside = f[:, 1:-1, 1:-1]
        size = torch.linalg.vector_norm(inside, dim=(1, 2), keepdim=True)
        size = torch.where(size > 0, size, 1)
        faces = self.faces(a)
        operator, precondition = FivePoint(*faces), Cycle(FivePoint(*(face.float() for face in faces)))
        inner, taken = conjugate_gradients(  # of right sides of norm one, as float32 does not hold every number
            operator.apply, precondition, inside / size, rtol=rtol, iterations=iterations
        )
        u = torch.nn.functional.pad(inner * size, (1, 1, 1, 1))
        left = torch.linalg.vector_norm(self.residual(a, u, f), dim=(1, 2)) / size.flatten()
        if not bool((left <= 2 * rtol).all()):  # what the iteration says and what is so part at the level of rounding
            raise RunError(f"Darcy: rounding leaves a residual of {float(left.max()):.1e}; rtol {rtol:g} is too small")
        return Solved(u, taken, left)
