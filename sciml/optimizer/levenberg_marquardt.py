r"""Levenberg-Marquardt with geodesic acceleration, for losses :math:`f(\theta) = \|r(\theta)\|^2`, J the Jacobian of r.

.. math:: d = (J^T J + \lambda I)^{-1} J^T r, \qquad a = (J^T J + \lambda I)^{-1} J^T r'', \qquad
          \theta \leftarrow \theta - d - a / 2 ,

with :math:`r''` the second derivative of r along d. A step that only knows J has to stay short where the residuals
curve; with a it follows them around the bend, for one more evaluation of r and no derivative:

.. math:: r'' \approx \frac{2}{h} \Big( \frac{r(\theta - h d) - r(\theta)}{h} + J d \Big), \qquad h = 0.1 .

The damping adapts to the gain ratio
:math:`\varrho = (f(\theta) - f(\theta - d - a/2)) / (f(\theta) - \|r - J d\|^2)`: a step with positive ratio and
:math:`|a| \le \alpha |d|` is taken and
:math:`\lambda \leftarrow \lambda \max(1/3, 1 - (2\varrho - 1)^3),\ \nu \leftarrow 2`; otherwise
:math:`\lambda \leftarrow \nu\lambda,\ \nu \leftarrow 2\nu`.

Sources: Madsen, Nielsen and Tingleff, "Methods for non-linear least squares problems" (2004), algorithm 3.16, for the
damping; here a rejected step is retried at once, with the same Jacobian. Transtrum and Sethna, "Improvements to the
Levenberg-Marquardt algorithm for nonlinear least-squares minimization" (arXiv 1201.5885), for the acceleration; of
their other improvements, steps uphill and updates of J in place of a new one, there is none here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from sciml.optimizer.base import Objective
from sciml.optimizer.gauss_newton import GaussNewton
from sciml.optimizer.least_squares import DampedLeastSquares
from sciml.ranges import Count, Positive

SHRINK, GROW = 1 / 3, 2.0  # of the damping, at most and at first
LEAST, MOST = 1e-30, 1e30  # dampings between which it moves
PROBE = 0.1  # h


@final
class LevenbergMarquardt(GaussNewton):
    """Gauss-Newton steps whose damping adapts.

    Args:
        params: Parameters, one group.
        lr: Factor of d; below 1 steps are shorter than the damping alone makes them.
        damping: λ at the start.
        trials: Dampings that a step tries before it gives up and leaves the larger one to the next step.
        acceleration: α, the longest acceleration of a step that is taken, in lengths of d; None for steps without.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1.0,
        damping: Positive = 1e-3,
        trials: Count = 10,
        acceleration: Positive | None = 0.75,
    ) -> None:
        super().__init__(params, lr=lr, damping=damping)
        self.trials, self.acceleration = trials, acceleration

    def move(self, objective: Objective, residual: Tensor, system: DampedLeastSquares, value: float) -> None:
        memory = self.memory
        memory.setdefault("damping", self.damping)
        memory.setdefault("growth", GROW)
        x, r = self.vector(), residual.double()
        for _ in range(self.trials):
            d = self.lr * self.solve(system, r, memory["damping"])
            change = system.jacobian @ d
            step = d if self.acceleration is None else self._bend(objective, system, x, d, r, change)
            if step is not None:
                predicted = value - float((r - change).square().sum())
                actual = value - self.value_along(objective, x, step.to(x.dtype), 1.0)
                if actual > 0 and predicted > 0:
                    gain = min(actual / predicted, 1.0)
                    factor = max(SHRINK, 1 - (2 * gain - 1) ** 3)
                    memory["damping"], memory["growth"] = max(memory["damping"] * factor, LEAST), GROW
                    return
            memory["damping"] = min(memory["damping"] * memory["growth"], MOST)
            memory["growth"] = min(memory["growth"] * 2, MOST)
        self.assign(x)
        self.say("no decrease", "no damping up to %.3g lowers the loss (%.3g)", memory["damping"], value)

    def _bend(
        self, objective: Objective, system: DampedLeastSquares, x: Tensor, d: Tensor, r: Tensor, change: Tensor
    ) -> Tensor | None:
        """The step d + a / 2, given ``change`` = J d; None if a is too long."""
        self.assign(torch.add(x, d.to(x.dtype), alpha=-PROBE))
        ahead = objective.residual().double()
        second = 2 / PROBE * ((ahead - r) / PROBE + change)
        a = self.solve(system, second, self.memory["damping"])
        # Written so that a path into infinity is refused, too.
        return d + a / 2 if float(a.norm()) <= (self.acceleration or 0.0) * float(d.norm()) else None
