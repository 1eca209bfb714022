r"""SOAP: Adam in the slowly rotating eigenbasis of Shampoo's preconditioner.

For a parameter matrix W (m × n) with gradient G, at step t = 1, 2, ...

    M ← β₁ M + (1 − β₁) G                      M' = Q_Lᵀ M Q_R,   G' = Q_Lᵀ G Q_R
    V ← β₂ V + (1 − β₂) G' ⊙ G'                N' = M̂' / (√V̂ + ε)
    W ← W − η (Q_L N' Q_Rᵀ + λ W)
    L ← β_s L + (1 − β_s) G Gᵀ                 R ← β_s R + (1 − β_s) Gᵀ G
    every f steps:  Q_L ← qr(L Q_L),  Q_R ← qr(R Q_R)

with hats for Adam's bias correction. Source: Vyas, Morwani, Zhao, Kwun, Shapira, Brandfonbrener, Janson and
Kakade, "SOAP: Improving and stabilizing Shampoo using Adam", ICLR 2025 (arXiv 2409.11321), algorithms 3 and 4.

What the algorithm leaves open, and where this differs:

* The first gradient only starts L and R and their eigenvectors; the matrix does not move and t stays 0, as in
  the authors' code. In the basis made of G itself G' is diagonal up to rounding, and Adam's first update, the
  sign of G', would turn the rounding into steps of full length. (With a loss that stays the same from step to
  step the second gradient is the first again, and one such step of length η does happen.)
* Before each QR step the basis is sorted by its Rayleigh quotients, largest first, and V with it (authors'
  code): orthogonal iteration converges in that order.
* ε stands outside the root as in torch's Adam, so that SOAP with Q = 1 is that Adam.
* Vectors and scalars take plain Adam from the first step on. A side of length 1 or above
  ``max_precondition_dim`` keeps Q = 1. Tensors of more than two dimensions are matrices (first, all others).
* Weight decay is 0 by default, not the language models' 1e-4.

Parameters of equal shape are one batch: their products, and their QR decompositions, are one call each, and
all vectors together are one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from sciml.ranges import Count, Momentum, NonNegative, Positive

SIDES = ("left", "right")


class SOAP(Optimizer):
    """Shampoo with Adam in the preconditioner's eigenbasis.

    Args:
        params: Real parameters, or groups of them.
        lr: η.
        betas: (β₁, β₂).
        shampoo_beta: β_s; None means β₂.
        eps: ε.
        weight_decay: λ, decoupled from the gradient and multiplied by η.
        precondition_frequency: f, steps between two updates of the eigenbases.
        max_precondition_dim: Longest side that gets a basis.

    Raises:
        ValueError: A parameter is complex.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 3e-3,
        betas: tuple[Momentum, Momentum] = (0.95, 0.95),
        shampoo_beta: Momentum | None = None,
        eps: NonNegative = 1e-8,
        weight_decay: NonNegative = 0.0,
        precondition_frequency: Count = 10,
        max_precondition_dim: Count = 10000,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "shampoo_beta": betas[1] if shampoo_beta is None else shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precondition_dim": max_precondition_dim,
        }
        super().__init__(params, defaults)
        self._batches: list[_Batch] = []
        self._batched: list[int] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._batches, self._batched = [], []  # they refer to the old state

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # pyright: ignore[reportIncompatibleMethodOverride]
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
        present = [id(p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if present != self._batched:
            self._batches, self._batched = list(self._group()), present
        for batch in self._batches:
            batch.step()
        return loss

    def _group(self) -> Iterator[_Batch]:
        """Parameters that have a gradient and can share their arithmetic."""
        for group in self.param_groups:
            alike: dict[tuple, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.is_complex():
                    raise ValueError("SOAP takes real parameters; store a complex one as real and imaginary part")
                sides = _sides(p, group["max_precondition_dim"])
                shape = (len(p), p.numel() // len(p)) if sides else ()
                key = (sides, shape, p.dtype, p.device, self.state[p].get("step"))
                alike.setdefault(key, []).append(p)
            for (sides, *_), params in alike.items():
                yield _Batch(group, params, [self.state[p] for p in params], sides)


def _sides(p: Tensor, longest: int) -> tuple[str, ...]:
    if p.dim() < 2 or p.numel() == 0:
        return ()
    lengths = (len(p), p.numel() // len(p))
    return tuple(side for side, n in zip(SIDES, lengths, strict=True) if 1 < n <= longest)


class _Batch:
    """Parameters of one shape as a stack (k, m, n), or any number of unrotated ones as one vector.

    The optimiser's per-parameter state are views into the stacks, so that it is always up to date.
    """

    def __init__(
        self, group: dict[str, Any], params: list[Tensor], states: list[dict[str, Any]], sides: tuple[str, ...]
    ) -> None:
        self.group, self.params, self.states, self.sides = group, params, states, sides
        self.known = "step" in states[0]
        names = ["exp_avg", "exp_avg_sq"]
        zeros = [torch.zeros_like(p, memory_format=torch.contiguous_format) for p in params]
        self.stacks = {name: self._pack([s[name] for s in states] if self.known else zeros) for name in names}
        for side in sides if self.known else ():
            for name in (side, f"{side}_basis"):
                self.stacks[name] = torch.stack([s[name] for s in states])
        self.steps = states[0]["step"] if self.known else 0
        if self.known:
            self._share()

    def step(self) -> None:
        grad = self._pack([p.grad for p in self.params if p.grad is not None])
        if not self.known:
            self._start(grad)
            if self.sides:
                return
        group, m, v = self.group, self.stacks["exp_avg"], self.stacks["exp_avg_sq"]
        beta1, beta2 = group["betas"]
        self.steps += 1
        m.lerp_(grad, 1 - beta1)
        rotated = self._to_basis(grad)
        v.mul_(beta2).addcmul_(rotated, rotated, value=1 - beta2)
        denominator = v.sqrt().div_((1 - beta2**self.steps) ** 0.5).add_(group["eps"])
        update = self._from_basis(self._to_basis(m) / denominator)
        if group["weight_decay"]:
            torch._foreach_mul_(self.params, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(self.params, self._unpack(update), alpha=-group["lr"] / (1 - beta1**self.steps))
        self._accumulate(grad, group["shampoo_beta"])
        if self.sides and self.steps % group["precondition_frequency"] == 0:
            self._turn()
        for state in self.states:
            state["step"] = self.steps

    def _start(self, grad: Tensor) -> None:
        for side in self.sides:
            outer = grad @ grad.mT if side == "left" else grad.mT @ grad
            self.stacks[side] = outer * (1 - self.group["shampoo_beta"])
            self.stacks[f"{side}_basis"] = torch.linalg.eigh(outer)[1].flip(-1).contiguous()
        self.known = True
        self._share()

    def _accumulate(self, grad: Tensor, beta: float) -> None:
        for side in self.sides:
            self.stacks[side].lerp_(grad @ grad.mT if side == "left" else grad.mT @ grad, 1 - beta)

    def _turn(self) -> None:
        """One sorted step of orthogonal iteration for each basis."""
        v = self.stacks["exp_avg_sq"]
        for side in self.sides:
            basis = self.stacks[f"{side}_basis"]
            power = self.stacks[side] @ basis
            order = (basis * power).sum(-2).argsort(dim=-1, descending=True, stable=True)
            v.copy_(v.take_along_dim(order.unsqueeze(2 if side == "left" else 1), dim=1 if side == "left" else 2))
            basis.copy_(torch.linalg.qr(power.take_along_dim(order.unsqueeze(1), dim=2))[0])

    def _to_basis(self, a: Tensor) -> Tensor:
        if "left" in self.sides:
            a = self.stacks["left_basis"].mT @ a
        return a @ self.stacks["right_basis"] if "right" in self.sides else a

    def _from_basis(self, a: Tensor) -> Tensor:
        if "left" in self.sides:
            a = self.stacks["left_basis"] @ a
        return a @ self.stacks["right_basis"].mT if "right" in self.sides else a

    def _pack(self, tensors: list[Tensor]) -> Tensor:
        if self.sides:
            return torch.stack([t.reshape(len(t), -1) for t in tensors])
        return torch.cat([t.reshape(-1) for t in tensors])

    def _unpack(self, stack: Tensor) -> list[Tensor]:
        parts = stack.unbind(0) if self.sides else stack.split([p.numel() for p in self.params])
        return [part.view(p.shape) for part, p in zip(parts, self.params, strict=True)]

    def _share(self) -> None:
        """Make each parameter's state views into the stacks."""
        for name, stack in self.stacks.items():
            views = self._unpack(stack) if name.startswith("exp") else stack.unbind(0)
            for state, view in zip(self.states, views, strict=True):
                state[name] = view
        for state in self.states:
            state["step"] = self.steps
