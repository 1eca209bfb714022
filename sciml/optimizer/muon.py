r"""Muon: momentum whose matrices are made orthogonal, and AdamW for all other parameters.

For a matrix W (m × n, both at least 2) with gradient G,

.. math:: M \leftarrow \mu M + G, \qquad O = \operatorname{NS}_5(G + \mu M), \qquad
          W \leftarrow W - \eta\,(0.2 \sqrt{\max(m, n)}\; O + \lambda W),

where :math:`\operatorname{NS}_5` is five steps :math:`X \leftarrow a X + (b A + c A^2) X,\ A = X X^T` from
:math:`X / \|X\|_F`, which bring all singular values near 1. Sources: Jordan et al., "Muon: an optimizer for hidden
layers in neural networks" (2024), for the iteration; Liu et al., "Muon is scalable for LLM training", arXiv 2502.16982,
for the factor, which gives the steps the size of AdamW's, so that both can share their learning rate.

``torch.optim.Muon`` takes matrices only, and computes in bfloat16. Here everything else gets AdamW, and the iteration
has the precision of the parameters. Tensors of more than two dimensions are matrices (first, all others).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from sciml.ranges import Momentum, NonNegative, Positive

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
STEPS = 5


@final
class Muon(Optimizer):
    """Muon for matrices, AdamW for the rest.

    Args:
        params: Real parameters, or groups of them.
        lr: η, of both.
        momentum: μ, of the matrices.
        betas: Of AdamW.
        eps: Of AdamW.
        weight_decay: λ, decoupled from the gradient and multiplied by η.

    Raises:
        ValueError: A parameter is complex.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1e-3,
        momentum: Momentum = 0.95,
        betas: tuple[Momentum, Momentum] = (0.9, 0.95),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        if any(p.is_complex() for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon takes real parameters; store a complex one as real and imaginary part")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step.

        Args:
            closure: Evaluates the loss anew, and its gradients.

        Returns:
            The closure's value.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params and group["weight_decay"]:
                torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
            self._orthogonal([p for p in params if _is_matrix(p)], group)
            self._adam([p for p in params if not _is_matrix(p)], group)
        return loss

    def _orthogonal(self, params: list[Tensor], group: dict[str, Any]) -> None:
        if not params:
            return
        for p in params:
            if not self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        grads, momenta = _gradients(params), [self.state[p]["momentum"] for p in params]
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, grads)
        whole = torch._foreach_add(grads, momenta, alpha=group["momentum"])
        alike: dict[tuple[Any, ...], list[int]] = {}
        for i, p in enumerate(params):
            alike.setdefault((len(p), p.numel() // len(p), p.dtype, p.device), []).append(i)
        for (m, n, *_), which in alike.items():
            updates = orthogonalised(torch.stack([whole[i].reshape(m, n) for i in which]))
            step = -group["lr"] * 0.2 * max(m, n) ** 0.5
            shaped = [update.reshape(params[i].shape) for i, update in zip(which, updates, strict=True)]
            torch._foreach_add_([params[i] for i in which], shaped, alpha=step)

    def _adam(self, params: list[Tensor], group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        by_step: dict[int, list[Tensor]] = {}
        for p in params:
            state = self.state[p]
            if not state:
                state["exp_avg"], state["exp_avg_sq"], state["step"] = torch.zeros_like(p), torch.zeros_like(p), 0
            state["step"] += 1
            by_step.setdefault(state["step"], []).append(p)
        for step, alike in by_step.items():
            grads, means = _gradients(alike), [self.state[p]["exp_avg"] for p in alike]
            squares = [self.state[p]["exp_avg_sq"] for p in alike]
            torch._foreach_lerp_(means, grads, 1 - beta1)
            torch._foreach_mul_(squares, beta2)
            torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
            roots = torch._foreach_sqrt(squares)
            torch._foreach_div_(roots, (1 - beta2**step) ** 0.5)
            torch._foreach_add_(roots, group["eps"])
            torch._foreach_addcdiv_(alike, means, roots, value=-group["lr"] / (1 - beta1**step))


def _gradients(params: list[Tensor]) -> list[Tensor]:
    return [p.grad for p in params if p.grad is not None]


def _is_matrix(p: Tensor) -> bool:
    return p.dim() > 1 and min(len(p), p.numel() // max(1, len(p))) > 1


def orthogonalised(matrices: Tensor) -> Tensor:
    """U Vᵀ of the singular value decompositions of matrices (..., m, n), up to singular values, which lie near 1.

    Long ones are multiplied twice in all: every step is a polynomial in X Xᵀ, a small matrix that can be followed
    instead of X, and the product of the polynomials is applied at the end.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices if matrices.shape[-2] <= matrices.shape[-1] else matrices.mT
    # Squares of small numbers are none, and from a norm well above 1 the steps diverge: the largest becomes 1 first.
    least = torch.finfo(wide.dtype).tiny
    x = wide / wide.abs().amax(dim=(-2, -1), keepdim=True).clamp_min(least)
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(least)
    long = 2 * wide.shape[-1] > 3 * wide.shape[-2]  # then that takes fewer products of numbers
    outer = x @ x.mT
    whole = None
    for step in range(STEPS):
        factor = b * outer + c * (outer @ outer)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        if long:
            whole = factor if whole is None else factor @ whole
            outer = factor @ outer @ factor if step + 1 < STEPS else outer
        else:
            x = factor @ x
            outer = x @ x.mT if step + 1 < STEPS else outer
    if whole is not None:
        x = whole @ x
    return x if wide is matrices else x.mT
