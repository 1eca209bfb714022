r"""The five-point operator of −∇·(a ∇u) on the unit square with zero boundary values, and its V-cycle.

Multigrid on nodes 2i of a grid with an even number N of intervals, as Briggs, Henson and McCormick, "A Multigrid
Tutorial" (2000), chapters 3 and 7: one damped Jacobi step before and after, bilinear interpolation, full weighting. A
coarse face is made of the fine ones as resistors are, two in a row and three side by side (with weights ¼, ½, ¼), so
that fluxes survive. Grids are halved while N is even and above 32; the last one is not solved but improved by three
steps of Chebyshev's iteration (Saad, "Iterative Methods for Sparse Linear Systems" (2003), algorithm 12.1),
preconditioned by the Laplacian through a sine transform: a bounds its eigenvalues on any grid. For an odd N this last
part is all there is, a single step of it.

The cycle is linear, symmetric and positive definite, as a preconditioner of conjugate gradients must be. It works in
float32, which is plenty for a preconditioner and takes half the time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.linalg.sine_transform import SineTransform, eigenvalues

_DAMPING = 0.8  # of Jacobi steps
_COARSEST = 32
_STEPS = 3


class FivePoint:
    """The operator on one grid.

    Args:
        along_x: Coefficients between the nodes along x, ``(n, N, N − 1)``: all intervals, inner lines.
        along_y: The same along y, ``(n, N − 1, N)``.
    """

    def __init__(self, along_x: Tensor, along_y: Tensor) -> None:
        self.along_x, self.along_y = along_x, along_y
        self.intervals = along_x.shape[1]
        x, y = along_x * self.intervals**2, along_y * self.intervals**2
        self.diagonal = x[:, 1:] + x[:, :-1] + y[:, :, 1:] + y[:, :, :-1]
        self._x, self._y = x[:, 1:-1].contiguous(), y[:, :, 1:-1].contiguous()
        self._found = torch.empty_like(self.diagonal)

    def apply(self, u: Tensor) -> Tensor:
        """A u at the inner nodes ``(n, N − 1, N − 1)``, in the same memory each time."""
        return self._neighbours(torch.mul(self.diagonal, u, out=self._found), u, -1)

    def residual(self, r: Tensor, u: Tensor) -> Tensor:
        """What is left of r, r − A u, in the same memory each time."""
        return self._neighbours(torch.addcmul(r, self.diagonal, u, value=-1, out=self._found), u, 1)

    def _neighbours(self, found: Tensor, u: Tensor, sign: int) -> Tensor:
        found[:, :-1].addcmul_(self._x, u[:, 1:], value=sign)
        found[:, 1:].addcmul_(self._x, u[:, :-1], value=sign)
        found[:, :, :-1].addcmul_(self._y, u[:, :, 1:], value=sign)
        found[:, :, 1:].addcmul_(self._y, u[:, :, :-1], value=sign)
        return found

    def coarse(self) -> FivePoint:
        """The operator on every other node; N must be even."""
        x = 2 / (1 / self.along_x[:, 0::2] + 1 / self.along_x[:, 1::2])
        y = 2 / (1 / self.along_y[:, :, 0::2] + 1 / self.along_y[:, :, 1::2])
        return FivePoint(_thinned(x, 2) / 2, _thinned(y, 1) / 2)


class Cycle:
    """An approximate inverse of a five-point operator.

    Args:
        finest: The operator, float32.
    """

    def __init__(self, finest: FivePoint) -> None:
        self._levels = []
        while finest.intervals % 2 == 0 and finest.intervals > _COARSEST:
            self._levels.append((finest, _DAMPING / finest.diagonal))
            finest = finest.coarse()
        self._last = finest
        faces = finest.along_x, finest.along_y
        low = torch.stack([face.amin(dim=(1, 2)) for face in faces]).amin(dim=0).reshape(-1, 1, 1)
        high = torch.stack([face.amax(dim=(1, 2)) for face in faces]).amax(dim=0).reshape(-1, 1, 1)
        self._centre, self._radius = (high + low) / 2, (high - low) / 2
        n, where = finest.intervals - 1, {"dtype": low.dtype, "device": low.device}
        self._transform, self._weight = SineTransform(n, **where), 1 / eigenvalues(n, **where)
        self._steps = _STEPS if self._levels else 1

    def __call__(self, r: Tensor) -> Tensor:
        """An approximation of A⁻¹ r ``(n, N − 1, N − 1)``, in the precision of r."""
        found = self._down(r.to(self._weight.dtype), 0)
        return found.to(r.dtype, memory_format=torch.contiguous_format)

    def _down(self, r: Tensor, level: int) -> Tensor:
        if level == len(self._levels):
            return self._chebyshev(r)
        operator, weight = self._levels[level]
        u = weight * r
        left = operator.residual(r, u)
        _interpolate(u, self._down(_thinned(_thinned(left, 1), 2) / 4, level + 1))
        return u.addcmul_(weight, operator.residual(r, u))

    def _laplacian(self, r: Tensor) -> Tensor:
        return self._transform(self._transform(r) * self._weight)

    def _chebyshev(self, r: Tensor) -> Tensor:
        """Steps for eigenvalues in centre ± radius of the operator, preconditioned by the Laplacian."""
        change = self._laplacian(r) / self._centre
        u, ratio = change.clone(), self._radius / self._centre
        for _ in range(self._steps - 1):
            # ρ' = 1 / (2σ − ρ) with σ = centre / radius, multiplied out so that a radius of zero is allowed.
            following = self._radius / (2 * self._centre - self._radius * ratio)
            scale = 2 / (2 * self._centre - self._radius * ratio)
            change = following * ratio * change + scale * self._laplacian(self._last.residual(r, u))
            u, ratio = u + change, following
        return u


def _thinned(x: Tensor, axis: int) -> Tensor:
    """Every other entry along an axis, with half of either neighbour: twice the weighted mean."""
    n = x.shape[axis]
    inner, left, right = (x.narrow(axis, k, n - 2) for k in (1, 0, 2))
    stride = (slice(None),) * axis + (slice(None, None, 2),)
    return torch.add(inner[stride], left[stride] + right[stride], alpha=0.5)


def _interpolate(u: Tensor, coarse: Tensor) -> None:
    """Add the bilinear interpolation of a coarse correction, zero on the boundary, to ``u``."""
    padded = torch.nn.functional.pad(coarse, (1, 1, 1, 1))
    across = padded[:, :, :-1] + padded[:, :, 1:]
    u[:, 1::2, 1::2] += coarse
    u[:, 1::2, 0::2].add_(across[:, 1:-1], alpha=0.5)
    u[:, 0::2, 1::2].add_((padded[:, :-1] + padded[:, 1:])[:, :, 1:-1], alpha=0.5)
    u[:, 0::2, 0::2].add_(across[:, :-1] + across[:, 1:], alpha=0.25)
