r"""Helmholtz: Δu + k² u = q on [−1, 1]², u = 0 on the boundary, with q such that u = sin(a₁πx) sin(a₂πy).

Source: Wang, Teng and Perdikaris, "Understanding and mitigating gradient flow pathologies in physics-informed neural
networks", SIAM J. Sci. Comput. 43 (2021), arXiv 2001.04536, section 2.2 (k = 1, a₁ = 1, a₂ = 4).

:class:`Cavity` is Δu + k² u = f on [0, 1]², u = 0 on the boundary, for any k²(x, y) > 0 and f. u is a series of sines,

    u = Σ û_mn sin πmx sin πny ,

collocated at the nodes; with ∂k²/∂n = 0 and f = 0 on the boundary all reflections of u are smooth, and the error falls
faster than any power of the number of nodes. The equation is indefinite. Modes with π² (m² + n²) up to some cutoff
above max k² are solved for directly, with a dense matrix; the others are dominated by their Laplacian. One after the
other precondition GMRES (:mod:`sciml.linalg.lock_step`), which takes about ten iterations,

    e_high = ((k₀² + Δ)⁻¹ r)_high ,   e_low = (Δ + k²)_low⁻¹ (r − (Δ + k²) e_high)_low .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.classical import chebyshev, on_grid
from sciml.equation.operator import laplacian, partials
from sciml.errors import ConfigError, RunError
from sciml.linalg.lock_step import minimal_residuals
from sciml.linalg.sine_transform import SineTransform


class Helmholtz(Equation):
    """Helmholtz with a product of sines as its solution.

    Args:
        a1: Half waves between the ends along x, halved: sin(a₁πx).
        a2: The same along y; 4 in the standard test.
        k: Wave number.

    Raises:
        ConfigError: ``a1`` or ``a2`` is no positive integer, so that u would not vanish on the boundary.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (-1.0, -1.0)
    upper = (1.0, 1.0)

    def __init__(self, *, a1: float = 1.0, a2: float = 4.0, k: float = 1.0) -> None:
        for name, a in (("a1", a1), ("a2", a2)):
            if a <= 0 or a != round(a):
                raise ConfigError(f"{name} is {a:g}; it must be a positive integer, for u to vanish on the boundary")
        self.a1, self.a2, self.k = a1, a2, k

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Δu + k² u − q at ``x`` (n, 2): (n, 1)."""
        u, lap = field.derivatives(x, laplacian(*partials(2)))
        q = (self.k**2 - math.pi**2 * (self.a1**2 + self.a2**2)) * self._solution(x)
        return lap + self.k**2 * u - q

    def boundary(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, :1])

    def ansatz(self, free: Any, x: Any) -> Any:
        """(1 − x²) (1 − y²) free."""
        return (1 - x[:, :1] ** 2) * (1 - x[:, 1:] ** 2) * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Polynomials of degree 24 in each input, and seven times the larger of a₁ and a₂ if that is more."""
        return on_grid(chebyshev(self, max(24, round(7 * max(self.a1, self.a2)))), axes)

    def reference(self, x: Tensor) -> Tensor:
        """sin(a₁πx) sin(a₂πy) at ``x`` (n, 2): (n, 1), float64."""
        return self._solution(x.double())

    def _solution(self, x: Tensor) -> Tensor:
        return torch.sin(self.a1 * math.pi * x[:, :1]) * torch.sin(self.a2 * math.pi * x[:, 1:])


class Cavity:
    """Helmholtz with a variable wave number in a square with walls: no loss, and so resonances.

    Args:
        rtol: Largest residual of the collocation, relative to that of u = 0.

    Raises:
        ValueError: It is not positive.
    """

    def __init__(self, *, rtol: float = 1e-9) -> None:
        if rtol <= 0:
            raise ValueError(f"rtol is {rtol}; it must be positive")
        self.rtol = rtol

    def residual(self, square: Tensor, u: Tensor, f: Tensor) -> Tensor:
        """What is left, f − Δu − k² u, at the inner nodes ``(n, N − 1, N − 1)``.

        Args:
            square: k² at the nodes ``(n, N + 1, N + 1)``, float64.
            u: Values of the same shape, zero on the boundary.
            f: Sources that broadcast with that shape.
        """
        inner = u[:, 1:-1, 1:-1]
        transform, eigenvalues = _sines(inner)
        return (
            f.expand_as(square)[:, 1:-1, 1:-1]
            + transform(eigenvalues * transform(inner))
            - square[:, 1:-1, 1:-1] * inner
        )

    def solve(self, square: Tensor, f: Tensor) -> Tensor:
        """Solutions ``(n, N + 1, N + 1)``.

        Args:
            square: k² at the nodes ``(n, N + 1, N + 1)``, float64.
            f: Sources that broadcast with that shape.

        Raises:
            RunError: The grid is too coarse for the wave number, or a resonance is hit too closely.
        """
        found = [self._one(k2, source) for k2, source in zip(square, f.expand_as(square), strict=True)]
        return torch.nn.functional.pad(torch.stack(found), (1, 1, 1, 1))

    def _one(self, square: Tensor, f: Tensor) -> Tensor:
        """One of them, at the inner nodes."""
        square, f = square[1:-1, 1:-1], f[1:-1, 1:-1]
        transform, eigenvalues = _sines(f)
        mean = float(square.max() + square.min()) / 2
        spread = float(square.max() - square.min()) / 2
        cutoff = mean + max(4 * spread, 0.5 * mean)
        low = eigenvalues <= cutoff
        if bool(low[-1].any()) or bool(low[:, -1].any()):
            raise RunError(f"Helmholtz: {len(f) + 2} points a side are too few for k² up to {float(square.max()):.3g}")
        factors, pivots = torch.linalg.lu_factor(_between(square, low) - torch.diag(eigenvalues[low]))
        high = torch.where(low, 0, 1 / (mean - eigenvalues))

        def apply(hat: Tensor) -> Tensor:
            return transform(square * transform(hat)) - eigenvalues * hat

        def precondition(left: Tensor) -> Tensor:
            hat = high * left
            rest = (left - apply(hat))[low]
            hat[low] = torch.linalg.lu_solve(factors, pivots, rest.unsqueeze(1)).squeeze(1)
            return hat

        def preconditioned(hat: Tensor) -> Tensor:
            return apply(precondition(hat.reshape(f.shape))).reshape(1, -1)

        right = transform(f).reshape(1, -1)
        hat, _ = minimal_residuals(preconditioned, right, rtol=self.rtol, iterations=_ITERATIONS, must_converge=True)
        return transform(precondition(hat.reshape(f.shape)))


_ITERATIONS = 100


def _sines(inner: Tensor) -> tuple[SineTransform, Tensor]:
    """The transform of inner nodes, and π² (m² + n²)."""
    n = inner.shape[-1]
    m = math.pi * torch.arange(1, n + 1, dtype=inner.dtype, device=inner.device)
    transform = SineTransform(n, dtype=inner.dtype, device=inner.device)
    return transform, m.unsqueeze(1).square() + m.square()


def _between(square: Tensor, low: Tensor) -> Tensor:
    """The matrix of multiplication by ``square`` (n, n) between the modes that ``low`` (n, n) selects.

    A product of sines is a difference of cosines, so that each entry is a sum of four cosine coefficients.
    """
    n = len(square)
    row, column = low.nonzero(as_tuple=True)  # m − 1 and n − 1
    highest = 2 * int(max(row.max(), column.max())) + 3
    node = math.pi / (n + 1) * torch.arange(1, n + 1, dtype=square.dtype, device=square.device)
    cosine = torch.cos(torch.outer(torch.arange(highest, dtype=square.dtype, device=square.device), node))
    coefficients = cosine @ square @ cosine.mT / (n + 1) ** 2

    def pair(line: Tensor) -> tuple[Tensor, Tensor]:
        return (line.unsqueeze(1) - line).abs(), line.unsqueeze(1) + line + 2

    minus_x, plus_x = pair(row)
    minus_y, plus_y = pair(column)
    return (
        coefficients[minus_x, minus_y]
        - coefficients[plus_x, minus_y]
        - coefficients[minus_x, plus_y]
        + coefficients[plus_x, plus_y]
    )
