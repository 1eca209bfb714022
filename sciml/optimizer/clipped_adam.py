r"""Adam with a bound on the gradient's norm, all parameters together: :math:`g \leftarrow g \min(1, c / \|g\|)`.

Pascanu, Mikolov and Bengio (2013), *On the difficulty of training recurrent neural networks*, algorithm 1, before each
step of :class:`torch.optim.AdamW`. A few batches with large gradients then cannot undo what was learnt: attention
without softmax is a product of three factors and needs it (Cao 2021's code bounds by 0.999, Transolver's by 0.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn

from sciml.ranges import Momentum, NonNegative, Positive


class ClippedAdam(torch.optim.AdamW):
    """AdamW on gradients of bounded norm; with ``weight_decay`` 0 Adam.

    Args:
        params: Parameters or groups of them.
        lr: Step size.
        betas: Decay of the two averages.
        eps: Added to the root of the second.
        weight_decay: Share of the weights, times ``lr``, that each step takes away.
        max_norm: c.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1e-3,
        betas: tuple[Momentum, Momentum] = (0.9, 0.999),
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        max_norm: Positive = 1.0,
    ) -> None:
        # One pass over the numbers of a parameter in place of ten: a tenth to a fifth of a small network's step.
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
        self.max_norm = max_norm

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], Any]) -> Any: ...

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; ``closure``, if there is one, gives the loss and leaves gradients."""
        loss: float | Tensor | None = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        nn.utils.clip_grad_norm_([p for group in self.param_groups for p in group["params"]], self.max_norm)
        super().step()
        return loss
