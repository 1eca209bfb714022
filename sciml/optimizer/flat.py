"""All parameters as one vector: what the optimisers share that compute with it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from sciml.optimizer.base import Objective, ObjectiveOptimizer
from sciml.ranges import NonNegative

log = logging.getLogger("sciml")
MEMORY = "memory"


class FlatOptimizer(ObjectiveOptimizer):
    """An optimiser with one vector of parameters, one group, and a state of named tensors and numbers.

    Parameters that do not require a gradient are left alone.

    Args:
        params: Real parameters of one dtype on one device; or one group of them.
        lr: What the group's learning rate is; each optimiser says what it does with it. At 0 nothing moves.

    Raises:
        ValueError: There are several groups, dtypes or devices, or a parameter is complex.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[dict[str, Any]], *, lr: NonNegative) -> None:
        super().__init__(params, {"lr": lr})
        name = type(self).__name__
        if len(self.param_groups) > 1:
            raise ValueError(f"{name} computes with all parameters at once: it takes one group, not several")
        if any(p.is_complex() for p in self.parameters):
            raise ValueError(f"{name} takes real parameters; store a complex one as real and imaginary part")
        if len({(p.dtype, p.device) for p in self.parameters}) > 1:
            raise ValueError(f"{name} takes parameters of one dtype on one device")
        self._said: set[str] = set()

    @property
    def parameters(self) -> list[Tensor]:
        """What is optimised, in the order of :attr:`Objective.parameters`."""
        return [p for group in self.param_groups for p in group["params"] if p.requires_grad]

    @property
    def lr(self) -> float:
        """The learning rate that a scheduler has set."""
        return float(self.param_groups[0]["lr"])

    @property
    def memory(self) -> dict[str, Any]:
        """The state, which checkpoints hold. Under a key that is no parameter torch keeps its dtypes."""
        return cast("dict[str, dict[str, Any]]", self.state)[MEMORY]

    @torch.no_grad()
    def vector(self) -> Tensor:
        """The parameters, copied into one vector (P,)."""
        return torch.cat([p.reshape(-1) for p in self.parameters])

    @torch.no_grad()
    def assign(self, x: Tensor) -> None:
        """Set the parameters from one vector (P,)."""
        params = self.parameters
        parts = x.split([p.numel() for p in params])
        torch._foreach_copy_(params, [part.view(p.shape) for part, p in zip(parts, params, strict=True)])

    def value_along(self, objective: Objective, x: Tensor, d: Tensor, t: float) -> float:
        """The loss at ``x - t d``, where the parameters are then; infinite where it is not finite."""
        self.assign(torch.add(x, d, alpha=-t))
        value = float(objective.value())
        return value if math.isfinite(value) else math.inf

    def evaluate(self, objective: Objective) -> tuple[Tensor, Tensor]:
        """The loss and its gradient (P,) at the present parameters."""
        loss = objective()
        return loss, flat_gradient(self.parameters)

    def say(self, reason: str, message: str, *values: object) -> None:
        """Log a message, unless it was already logged for this reason."""
        if reason not in self._said:
            self._said.add(reason)
            log.warning(f"%s: {message}", type(self).__name__, *values)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state; its tensors are copied to the device of the parameters."""
        super().load_state_dict(state_dict)
        device = self.parameters[0].device if self.parameters else None
        cast("dict[str, dict[str, Any]]", self.state)[MEMORY] = {
            name: value.detach().to(device=device, copy=True) if isinstance(value, Tensor) else value
            for name, value in self.memory.items()
        }


def flat_gradient(params: Sequence[Tensor]) -> Tensor:
    """The gradients of all parameters as one vector (P,); zeros where there is none."""
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in params])
