r"""The Jacobian of a vector of residuals with respect to all parameters of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

CHUNK = 1 << 24  # entries of the gradients that a batched backward pass makes at a time


class Rows:
    """A residual vector and its Jacobian.

    Args:
        parts: Evaluates the residuals, differentiable: tensors (n_c,) or (n_c, components).
        parameters: Tensors with P entries in all.
    """

    def __init__(self, parts: Callable[[], Sequence[Tensor]], parameters: Sequence[Tensor]) -> None:
        self.parts, self.parameters = parts, list(parameters)

    def __call__(self) -> tuple[Tensor, Tensor]:
        """The residuals (n,) and their Jacobian (n, P), detached."""
        with torch.enable_grad():
            residual = torch.cat([r.reshape(-1) for r in self.parts()])
        return residual.detach(), one_by_one(residual, self.parameters)


def one_by_one(residual: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The Jacobian (n, P) of any differentiable vector (n,), by a backward pass for each entry, many at a time."""
    n, width = len(residual), sum(p.numel() for p in parameters)
    out = residual.new_empty(n, width)
    height = max(1, CHUNK // max(1, width * n))
    for start in range(0, n, height):
        count = min(height, n - start)
        seeds = residual.new_zeros(count, n)
        seeds[:, start : start + count].fill_diagonal_(1)
        grads = torch.autograd.grad(
            residual, parameters, seeds, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        torch.cat([g.reshape(count, -1) for g in grads], dim=1, out=out[start : start + count])
    return out
