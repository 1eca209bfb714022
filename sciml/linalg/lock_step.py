r"""Krylov methods for many systems at once, each with its own steps.

Conjugate gradients for symmetric positive definite ones: Hestenes and Stiefel, J. Res. Natl. Bur. Stand. 49 (1952),
preconditioned, as Saad, "Iterative Methods for Sparse Linear Systems" (2003), algorithm 9.1. Generalised minimal
residuals for any others: Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986), without restarts; there no residual
ever grows, however few the iterations. A system that has converged keeps its solution while the others go on, so that
what is found for one does not depend on which others are solved beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.errors import RunError


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    rtol: float,
    iterations: int,
    x: Tensor | None = None,
    must_converge: bool = True,
) -> tuple[Tensor, Tensor]:
    """Solve A x = b.

    Args:
        apply: A, on ``(n, ...)``; may write to the same memory each time.
        precondition: An approximation of its inverse, symmetric and positive definite; may be of a lower precision.
        b: Right sides ``(n, ...)``, contiguous.
        rtol: Each residual ends below this part of the norm of its b.
        iterations: Allowed.
        x: Where to begin ``(n, ...)``; zero by default.
        must_converge: Whether a residual that is still larger after them is an error; else what was found is returned.

    Returns:
        Solutions ``(n, ...)``, and the iterations that each took ``(n,)``.

    Raises:
        RunError: Some residual is still larger after that many iterations.
    """
    x, r = (torch.zeros_like(b), b.clone()) if x is None else (x.clone(), b - apply(x))
    goal = rtol**2 * _dot(b, b)
    taken = torch.zeros(len(b), dtype=torch.long, device=b.device)
    open_ = _dot(r, r) > goal
    p, rz = torch.zeros_like(b), torch.ones_like(goal)
    for _ in range(iterations):
        if not bool(open_.any()):
            return x, taken
        z = precondition(r)
        new = _dot(r, z)
        p = p.mul_(torch.where(open_, new / rz, 0)).add_(z)
        rz = torch.where(open_, new, 1)
        q = apply(p)
        step = torch.where(open_, rz / _dot(p, q), 0)
        x.addcmul_(step, p)
        r.addcmul_(step, q, value=-1)
        taken += open_.flatten()
        open_ &= ~(_dot(r, r) <= goal)  # a NaN stays open
    if must_converge and bool(open_.any()):
        left = float((_dot(r, r) / _dot(b, b)).max().sqrt())
        raise RunError(f"conjugate gradients left {left:.1e} of the right side after {iterations} iterations")
    return x, taken


def minimal_residuals(
    apply: Callable[[Tensor], Tensor], b: Tensor, *, rtol: float, iterations: int, must_converge: bool = False
) -> tuple[Tensor, Tensor]:
    """The x of smallest ‖b − A x‖ in span{b, A b, ...}, of as many vectors as there are iterations.

    For a preconditioner M give A M, and take M x (from the right, so that the residual is the true one: Saad,
    algorithm 9.5).

    Args:
        apply: A, on ``(n, m)``; any.
        b: Right sides ``(n, m)``.
        rtol: A system goes on until its residual is below this part of the norm of its b.
        iterations: Allowed, at least 1.
        must_converge: Whether a residual that is still larger after them is an error; else what was found is returned.

    Returns:
        Solutions ``(n, m)``, and the iterations that each took ``(n,)``.

    Raises:
        RunError: Some residual is still larger after that many iterations.
    """
    n = len(b)
    size = b.norm(dim=1)
    taken = torch.zeros(n, dtype=torch.long, device=b.device)
    open_ = size > 0
    basis = (b / torch.where(open_, size, 1).unsqueeze(1)).unsqueeze(1)  # (n, vectors so far, m)
    small, y, left = b.new_zeros(n, iterations + 1, iterations), b.new_zeros(n, iterations), b
    for j in range(iterations):
        if not bool(open_.any()):
            break
        w = apply(basis[:, j])
        for _ in range(2):  # twice, or rounding costs orthogonality
            share = (basis @ w.unsqueeze(-1)).squeeze(-1)
            w = w - (share.unsqueeze(1) @ basis).squeeze(1)
            small[:, : j + 1, j] += share
        norm = w.norm(dim=1)
        small[:, j + 1, j] = norm
        # A column of zeros, of a system that has converged, gets no weight from a pseudo-inverse.
        y[:, : j + 1] = size.unsqueeze(1) * torch.linalg.pinv(small[:, : j + 2, : j + 1])[:, :, 0]
        left = -(small[:, : j + 2, : j + 1] @ y[:, : j + 1].unsqueeze(-1)).squeeze(-1)
        left[:, 0] += size
        taken += open_
        open_ &= ~(left.norm(dim=1) <= rtol * size)  # a NaN stays open
        following = torch.where(open_.unsqueeze(1), w / torch.where(norm > 0, norm, 1).unsqueeze(1), 0)
        basis = torch.cat([basis, following.unsqueeze(1)], dim=1)
    if must_converge and bool(open_.any()):
        most = float((left.norm(dim=1) / size).max())
        raise RunError(f"minimal residuals left {most:.1e} of the right side after {iterations} iterations")
    vectors = min(basis.shape[1], iterations)
    return (y[:, :vectors].unsqueeze(1) @ basis[:, :vectors]).squeeze(1), taken


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products, ``(n, 1, ...)``; a product of matrices reads either once."""
    product = a.reshape(len(a), 1, -1) @ b.reshape(len(b), -1, 1)
    return product.reshape(-1, *[1] * (a.ndim - 1))
