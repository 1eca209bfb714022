r"""Causal weights: the equation counts at a time only once it is met at all earlier times.

.. math:: L_r = \frac1M \sum_{k=1}^M w_k L_k, \qquad w_k = \exp\left(-\epsilon \sum_{j<k} L_j\right)

over M slabs of time with the mean squared residuals :math:`L_k`; the weights have no gradient. Source: Wang, Sankaran
and Perdikaris, "Respecting causality for training physics-informed neural networks", Computer Methods in Applied
Mechanics and Engineering 421 (2024) (arXiv 2203.07404, "Respecting causality is all you need for ..."), with the
authors' schedule of :math:`\epsilon`: the next larger one once the smallest weight exceeds :math:`\delta`.

The slabs are those of jaxpi: the points in the order of their times, cut into M parts of equal numbers, where the
paper has a grid of times. Deviations: points that are left over by the division fall to the slabs as evenly as can
be; the initial condition is a term of its own weight and does not enter the sums, as in jaxpi.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.pinn.base import Points, Weighting, check_names
from sciml.ranges import Count, Fraction, Natural, NonNegative, Positive


class Causal(Weighting):
    """Weights of points by time.

    Args:
        weights: λ by condition name; 1 for a condition that is not named.
        epsilon: The values of ε, one after the other.
        slabs: M, number of slabs.
        delta: δ, the smallest weight above which the next ε begins.
        every: Steps from one look at the smallest weight to the next.
        equation: Name of the condition whose points are weighed.
        axis: Which input is time.

    Raises:
        ConfigError: No ε, or at the start a condition that does not exist.
    """

    pointwise: ClassVar[bool] = True
    stage: Tensor
    lowest: Tensor

    def __init__(
        self,
        *,
        weights: Mapping[str, NonNegative],
        epsilon: Sequence[Positive] = (1e-2, 1e-1, 1.0, 1e1, 1e2),
        slabs: Count = 32,
        delta: Fraction = 0.99,
        every: Count = 100,
        equation: str = "residual",
        axis: Natural = 0,
    ) -> None:
        super().__init__()
        if not epsilon:
            raise ConfigError("weighting.epsilon is empty; it must hold one or more numbers")
        self._weights = dict(weights)
        self.slabs, self.delta, self.every, self.equation, self.axis = slabs, delta, every, equation, axis
        self._epsilon = tuple(map(float, epsilon))
        self.register_buffer("stage", torch.zeros((), dtype=torch.long))
        self.register_buffer("lowest", torch.zeros((), dtype=torch.float64))

    def prepare(self, conditions: Sequence[str]) -> None:
        check_names("weighting.weights", self._weights, conditions)
        check_names("weighting.equation", [self.equation], conditions)

    def weights(self) -> dict[str, float]:
        return self._weights

    def scale(self, residuals: dict[str, Tensor], points: Points) -> dict[str, Tensor]:
        residual = residuals[self.equation]
        factors = self._factors(residual.detach(), points[self.equation])
        return {**residuals, self.equation: factors.reshape(-1, *[1] * (residual.dim() - 1)) * residual}

    def adapt(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> int:
        self.stage = (self.stage + (self.lowest > self.delta)).clamp(max=len(self._epsilon) - 1)
        return 0

    def _factors(self, residual: Tensor, points: Tensor) -> Tensor:
        """√w at each point (n,)."""
        n, slabs = len(points), min(self.slabs, len(points))
        order = points[:, self.axis].argsort()
        slab = torch.empty_like(order)
        slab[order] = torch.arange(n, device=order.device) * slabs // n
        squares = residual.double().square().reshape(n, -1).mean(dim=1)
        sums, counts = squares.new_zeros(2, slabs).index_add_(1, slab, torch.stack([squares, torch.ones_like(squares)]))
        earlier = squares.new_ones(slabs, slabs).tril(-1) @ (sums / counts)
        epsilon = squares.new_tensor(self._epsilon)[self.stage]
        weights = torch.exp(-epsilon * earlier)
        self.lowest = weights.min()
        return weights.sqrt()[slab].to(residual)
