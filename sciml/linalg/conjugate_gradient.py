"""Conjugate gradients for many systems at once (Hestenes and Stiefel, 1952)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradient(
    matvec: Callable[[Tensor], Tensor], b: Tensor, x: Tensor | None = None, *, iterations: int, tolerance: float = 0.0
) -> Tensor:
    """Solve a positive definite system for each entry of a batch.

    Args:
        matvec: The operator, ``(batch, *shape)`` to the same; entries do not mix.
        b: Right-hand sides ``(batch, *shape)``.
        x: Where to begin; zero by default.
        iterations: At most so many.
        tolerance: An entry is done, and stays as it is, when its residual is below that of ``b`` times this.

    Returns:
        ``(batch, *shape)``.
    """
    axes = tuple(range(1, b.ndim))
    dot = lambda u, v: (u * v).sum(axes, keepdim=True)  # noqa: E731
    x = torch.zeros_like(b) if x is None else x
    r = b - matvec(x)
    p, rr = r, dot(r, r)
    enough = tolerance**2 * dot(b, b)
    zero = torch.zeros_like(rr)
    for _ in range(iterations):
        active = rr > enough
        if not bool(active.any()):
            break
        q = matvec(p)
        curvature = dot(p, q)
        step = torch.where(active & (curvature > 0), rr / torch.where(curvature > 0, curvature, zero + 1), zero)
        x = x + step * p
        r = r - step * q
        before, rr = rr, dot(r, r)
        p = r + torch.where(active, rr / torch.where(before > 0, before, zero + 1), zero) * p
    return x
