r"""M-FAC: gradient descent preconditioned by the empirical Fisher matrix of the last m gradients.

With :math:`g_t` the gradient of step t, weight decay included,

.. math:: \hat F_t = \lambda I + \frac1m\sum_{i=t-m+1}^{t} g_i g_i^T, \qquad
          v_t = \beta v_{t-1} + (1-\beta)\,\hat F_t^{-1} g_t, \qquad \theta_t = \theta_{t-1} - \eta\,v_t .

The newest gradient is in the window before its product is taken; gradients before the first are zeros, and m stays m.
Source: Frantar, Kurtic and Alistarh (2021), *M-FAC: Efficient Matrix-Free Approximations of Second-Order
Information*, arXiv:2107.03356, the dynamic algorithm; defaults as in the authors' code (``optim.py``).

Deviations:

- The paper keeps :math:`G G^T` of the window G too, but takes from it the matrices D and B of a recursion over the
  gradients, by an LU decomposition without pivoting that torch has on GPUs only. Here a Cholesky factor of
  :math:`m\lambda I + G G^T` gives the same product, on any device: with :math:`g_t` row j of G,
  :math:`\hat F_t^{-1} g_t = m\,G^T (m\lambda I + G G^T)^{-1} e_j`.
- All of it in float64 (:mod:`sciml.linalg.woodbury`); the window itself has the parameters' precision. With the
  damping of 1e-5 that the paper uses, float32 has few digits left, and TF32 none.
- Rows that no gradient has filled are left out of the factorisation.
- A parameter without gradient counts as zeros and stays where it is. A gradient that is not finite is taken as it is,
  without preconditioner, and does not enter the window.

Cost of a step beside the gradient: :math:`4md + m^3/3` operations, the time of reading the window twice. On one CPU
core 13 ms for m = 256 and 85 ms for m = 1024 at d = 55 050, 0.2 s for m = 512 at d = 270 000. Memory, also in every
checkpoint: m times the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from sciml.linalg.woodbury import Woodbury
from sciml.ranges import Count, Momentum, NonNegative, Positive

STATE = "window"


@final
class MFAC(Optimizer):
    """One window over all parameters.

    Args:
        params: Real parameters on one device, or groups of them with ``lr``, ``momentum`` and ``weight_decay`` of
            their own.
        lr: Eta.
        momentum: Beta, of the preconditioned gradients.
        weight_decay: Times the parameters, added to the gradient before it enters the window.
        window: m.
        damping: Lambda.

    Raises:
        ValueError: A parameter is complex.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1e-3,
        momentum: Momentum = 0.0,
        weight_decay: NonNegative = 0.0,
        window: Count = 1024,
        damping: Positive = 1e-5,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        if any(p.is_complex() for group in self.param_groups for p in group["params"]):
            raise ValueError("MFAC takes real parameters; store a complex one as real and imaginary part")
        self.window, self.damping = window, damping

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
        pairs = [(group, p) for group in self.param_groups for p in group["params"]]
        if not pairs or all(p.grad is None for _, p in pairs):
            return loss
        gradient = torch.cat([_gradient(p, group["weight_decay"]) for group, p in pairs])
        update = self._preconditioned(gradient) if bool(gradient.isfinite().all()) else gradient
        for (group, p), part in zip(pairs, update.split([p.numel() for _, p in pairs]), strict=True):
            if p.grad is None:
                continue
            part = part.view(p.shape).to(p.dtype)
            if group["momentum"]:
                if "momentum" not in self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
                part = self.state[p]["momentum"].lerp_(part, 1 - group["momentum"])
            p.sub_(part, alpha=group["lr"])
        return loss

    def _preconditioned(self, gradient: Tensor) -> Tensor:
        """The gradient enters the window; its product with the inverse of the window's Fisher matrix."""
        # Under a key that is no parameter torch keeps the dtypes of a state that is loaded: the Gram matrix must
        # not come back as float32.
        state = cast("dict[str, dict[str, Any]]", self.state)[STATE]
        if not state:
            state["gradients"] = gradient.new_zeros(self.window, len(gradient))
            state["gram"] = gradient.new_zeros(self.window, self.window, dtype=torch.float64)
            state["seen"] = 0
        newest, seen = state["seen"] % self.window, min(state["seen"], self.window)
        fisher = Woodbury(state["gradients"], self.damping, scale=self.window, gram=state["gram"], filled=seen)
        fisher.replace(newest, gradient)
        state["seen"] += 1
        coefficients = torch.zeros(self.window, dtype=torch.float64, device=gradient.device)
        coefficients[newest] = 1
        return fisher.solve_rows(coefficients)


def _gradient(p: Tensor, weight_decay: float) -> Tensor:
    if p.grad is None:
        return torch.zeros_like(p).flatten()
    return p.grad.flatten() if weight_decay == 0 else p.grad.add(p, alpha=weight_decay).flatten()
