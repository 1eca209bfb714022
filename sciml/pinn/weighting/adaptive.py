"""Weights that follow a measurement of the loss terms, as a running average: λ_c <- α λ_c + (1 − α) λ̂_c.

They start at 1 or at what is given. The measurement takes an evaluation of its own at the points of the step before
which it is made, once in many steps, so that a training step costs what it does with fixed weights.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sciml.pinn.base import Weighting, check_names
from sciml.ranges import Count, Momentum, NonNegative


class Adaptive(Weighting):
    """A running average.

    Args:
        weights: λ at the start by condition name; 1 for a condition that is not named.
        every: Steps from one measurement to the next.
        momentum: α, what stays of the old weights.
    """

    running: Tensor

    def __init__(
        self, *, weights: Mapping[str, NonNegative] | None = None, every: Count = 1000, momentum: Momentum = 0.9
    ) -> None:
        super().__init__()
        self._first = dict(weights or {})
        self.every, self.momentum = every, momentum

    def prepare(self, conditions: Sequence[str]) -> None:
        check_names("weighting.weights", self._first, conditions)
        self.conditions = tuple(conditions)
        first = [self._first.get(name, 1.0) for name in conditions]
        self.register_buffer("running", torch.tensor(first, dtype=torch.float64))

    @abstractmethod
    def measure(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> tuple[Tensor, int]:
        """λ̂ by condition (m,), and how many backward passes that took; arguments as for ``adapt``."""

    def adapt(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> int:
        measured, passes = self.measure(residuals, parameters)
        self.running = self.momentum * self.running + (1 - self.momentum) * measured.to(self.running)
        return passes

    def weights(self) -> dict[str, Tensor]:
        return dict(zip(self.conditions, self.running.unbind(), strict=True))


def gradients(losses: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """The gradients (m, P) of losses that share a graph, one backward pass each."""
    rows = []
    for i, loss in enumerate(losses):
        parts = torch.autograd.grad(
            loss, list(parameters), retain_graph=i + 1 < len(losses), allow_unused=True, materialize_grads=True
        )
        rows.append(torch.cat([part.reshape(-1) for part in parts]))
    return torch.stack(rows)


def balanced(size: Tensor) -> Tensor:
    """Weights (m,) that make all products with ``size`` (m,) equal to its mean; at most 100 000 where one vanishes."""
    mean = size.mean()
    return torch.where(mean > 0, (mean / size).clamp(max=1e5), torch.ones_like(size))
