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
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.mul_(1 - group["lr"] * group["weight_decay"])
                matrix = p.dim() > 1 and min(len(p), p.numel() // max(1, len(p))) > 1
                update = self._orthogonal(p, group) if matrix else self._adam(p, group)
                p.sub_(update, alpha=group["lr"])
        return loss

    def _orthogonal(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        grad, state = p.grad, self.state[p]
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].mul_(group["momentum"]).add_(grad)
        whole = torch.add(grad, state["momentum"], alpha=group["momentum"])
        matrix = whole.reshape(len(p), -1)
        return (orthogonalised(matrix) * (0.2 * max(matrix.shape) ** 0.5)).view(p.shape)

    def _adam(self, p: Tensor, group: dict[str, Any]) -> Tensor:
        grad, state, (beta1, beta2) = p.grad, self.state[p], group["betas"]
        assert grad is not None
        if not state:
            state["exp_avg"], state["exp_avg_sq"], state["step"] = torch.zeros_like(p), torch.zeros_like(p), 0
        state["step"] += 1
        state["exp_avg"].lerp_(grad, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        denominator = state["exp_avg_sq"].sqrt().div_((1 - beta2 ** state["step"]) ** 0.5).add_(group["eps"])
        return state["exp_avg"] / denominator / (1 - beta1 ** state["step"])


def orthogonalised(matrix: Tensor) -> Tensor:
    """U Vᵀ of the singular value decomposition of a matrix (m, n), up to the singular values, which lie near 1."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / wide.norm().clamp_min(torch.finfo(wide.dtype).tiny ** 0.5)
    for _ in range(STEPS):
        outer = x @ x.T
        x = torch.addmm(x, torch.addmm(outer, outer, outer, beta=b, alpha=c), x, beta=a)
    return x if wide is matrix else x.T
