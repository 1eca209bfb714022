r"""Generalised minimal residuals: the smallest ‖b − A x‖ over x in M⁻¹ span{b, A M⁻¹ b, ...}.

Saad and Schultz, SIAM J. Sci. Stat. Comput. 7 (1986); preconditioned from the right, as Saad, "Iterative Methods for
Sparse Linear Systems" (2003), algorithm 9.5, so that the residual is the true one. Without restarts: meant for a
preconditioner that leaves a few tens of iterations.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.errors import RunError


def gmres(
    apply: Callable[[Tensor], Tensor],
    precondition: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    rtol: float,
    iterations: int,
) -> Tensor:
    """Solve A x = b.

    Args:
        apply: A, on tensors of the shape of ``b``.
        precondition: M⁻¹, linear.
        b: Right side of any shape.
        rtol: The residual ends below this part of ‖b‖.
        iterations: Allowed.

    Raises:
        RunError: They were not enough.
    """
    size = b.norm()
    if not bool(size > 0):
        return torch.zeros_like(b)
    basis = [b.flatten() / size]
    hessenberg = b.new_zeros(iterations + 1, iterations)
    left = 1.0
    for j in range(iterations):
        w = apply(precondition(basis[j].reshape(b.shape))).flatten()
        known = torch.stack(basis)
        for _ in range(2):  # twice, or rounding costs orthogonality
            share = known @ w
            w = w - share @ known
            hessenberg[: j + 1, j] += share
        norm = w.norm()
        hessenberg[j + 1, j] = norm
        target = b.new_zeros(j + 2)
        target[0] = 1
        small = hessenberg[: j + 2, : j + 1]
        y = torch.linalg.lstsq(small, target.unsqueeze(1)).solution.squeeze(1)
        left = float((target - small @ y).norm())
        if left <= rtol:
            return size * precondition((y @ known).reshape(b.shape))
        basis.append(w / norm)
    raise RunError(f"GMRES left {left:.1e} of the right side after {iterations} iterations")
