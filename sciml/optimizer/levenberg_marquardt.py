r"""Levenberg-Marquardt that follows bent valleys, for losses :math:`f(\theta) = \|r(\theta)\|^2`, J the Jacobian of r.

.. math:: d = (J^T J + \lambda I)^{-1} J^T r, \qquad a = (J^T J + \lambda I)^{-1} J^T r'', \qquad
          \theta \leftarrow \theta - d - a / 2 ,

with :math:`r''` the second derivative of r along d. A step that only knows J has to stay short where the residuals
curve; with a it follows them around the bend, for one more evaluation of r and no derivative:

.. math:: r'' \approx \frac{2}{h} \Big( \frac{r(\theta - h d) - r(\theta)}{h} + J d \Big), \qquad h = 0.1 .

What bends more than that is corrected by the same J: the linear model promises the residuals :math:`r - J d`, the new
point :math:`\theta'` has others, mostly where J is large, and

.. math:: \theta' \leftarrow \theta' - (J^T J + \mu I)^{-1} J^T \big( r(\theta') - (r - J d) \big), \qquad
          \mu = \sqrt{\lambda \max_i (J^T J)_{ii}} ,

until nine tenths of the promised decrease are there, several times at most; the best point counts. So dampings may be
smaller by orders of magnitude, which is what moves along a valley, for evaluations of r, each at a fifteenth of what J
and J^T J cost (10000 points, 941 parameters).

The damping adapts to the gain ratio
:math:`\varrho = (f(\theta) - f(\theta')) / (f(\theta) - \|r - J d\|^2)`: a step with positive ratio and
:math:`|a| \le \alpha |d|` is taken and
:math:`\lambda \leftarrow \lambda \max(1/3, 1 - (2\varrho - 1)^3),\ \nu \leftarrow 2`; otherwise
:math:`\lambda \leftarrow \nu\lambda,\ \nu \leftarrow 2\nu`. Dampings soon lie below the rounding errors of
:math:`J^T J`; d is then approached by conjugate gradients, see :meth:`DampedLeastSquares.approach`.

Sources: Madsen, Nielsen and Tingleff, "Methods for non-linear least squares problems" (2004), algorithm 3.16, for the
damping; here a rejected step is retried at once, with the same Jacobian. Transtrum and Sethna, "Improvements to the
Levenberg-Marquardt algorithm for nonlinear least-squares minimization" (arXiv 1201.5885), for the acceleration; of
their other improvements, steps uphill and updates of J in place of a new one, there is none here. Corrections are the
second-order corrections of trust-region methods (Conn, Gould and Toint, "Trust-region methods", 2000), repeated, for
residuals in place of constraints; that a Jacobian serves several steps is in Fan, "The modified
Levenberg-Marquardt method for nonlinear equations with cubic convergence", Mathematics of Computation 81 (2012),
whose second step goes for r = 0, not for the linear model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, final

from torch import Tensor

from sciml.optimizer.base import Objective
from sciml.optimizer.gauss_newton import GaussNewton
from sciml.optimizer.least_squares import DampedLeastSquares
from sciml.ranges import Count, Natural, Positive

SHRINK, GROW = 1 / 3, 2.0  # of the damping, at most and at first
LEAST, MOST = 1e-30, 1e30  # dampings between which it moves
PROBE = 0.1  # h
ENOUGH = 0.9  # of the promised decrease
WORSE = 4.0  # factor of the loss from one correction to the next at which they end
ITERATIONS = 3  # of conjugate gradients for d


@final
class LevenbergMarquardt(GaussNewton):
    """Gauss-Newton steps whose damping adapts.

    Args:
        params: Parameters, one group.
        lr: Factor of d; below 1 steps are shorter than the damping alone makes them.
        damping: λ at the start.
        trials: Dampings that a step tries before it gives up and leaves the larger one to the next step.
        acceleration: α, the longest acceleration of a step that is taken, in lengths of d; None for steps without.
        corrections: At most, in a step.

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
        corrections: Natural = 6,
    ) -> None:
        super().__init__(params, lr=lr, damping=damping)
        self.trials, self.acceleration, self.corrections = trials, acceleration, corrections

    def move(self, objective: Objective, residual: Tensor, system: DampedLeastSquares, value: float) -> None:
        memory = self.memory
        memory.setdefault("damping", self.damping)
        memory.setdefault("growth", GROW)
        x, r = self.vector(), residual.double()
        for _ in range(self.trials):
            damping = memory["damping"]
            d = self.lr * system.approach(r, damping, ITERATIONS)
            change = system.jacobian @ d
            step = d if self.acceleration is None else self._bend(objective, system, x, d, r, change)
            promised = r - change
            predicted = value - float(promised @ promised)
            if step is not None and predicted > 0:
                step, reached = self._correct(objective, system, x, step, promised, value - ENOUGH * predicted)
                if reached < value:
                    self.assign(x - step.to(x.dtype))
                    gain = min((value - reached) / predicted, 1.0)
                    factor = max(SHRINK, 1 - (2 * gain - 1) ** 3)
                    memory["damping"], memory["growth"] = max(damping * factor, LEAST), GROW
                    return
            memory["damping"] = min(damping * memory["growth"], MOST)
            memory["growth"] = min(memory["growth"] * 2, MOST)
        self.assign(x)
        self.say("no decrease", "no damping up to %.3g lowers the loss (%.3g)", memory["damping"], value)

    def _bend(
        self, objective: Objective, system: DampedLeastSquares, x: Tensor, d: Tensor, r: Tensor, change: Tensor
    ) -> Tensor | None:
        """The step d + a / 2, given ``change`` = J d; None if a is too long."""
        ahead = self._residual_after(objective, x, PROBE * d)
        second = 2 / PROBE * ((ahead - r) / PROBE + change)
        a = system.approach(second, self.memory["damping"], 0)
        # Written so that a path into infinity is refused, too.
        return d + a / 2 if float(a.norm()) <= (self.acceleration or 0.0) * float(d.norm()) else None

    def _correct(
        self,
        objective: Objective,
        system: DampedLeastSquares,
        x: Tensor,
        step: Tensor,
        promised: Tensor,
        enough: float,
    ) -> tuple[Tensor, float]:
        """The best of a step and its corrections, which end at a loss of ``enough``; and its loss, infinite if none is.

        Args:
            objective: The loss.
            system: J at ``x``.
            x: The parameters before the step (P,).
            step: What is taken off them (P,).
            promised: r - J d (n,).
            enough: A loss.
        """
        damping = (self.memory["damping"] * system.largest) ** 0.5
        best, least, before = step, math.inf, math.inf
        for left in reversed(range(self.corrections + 1)):
            ahead = self._residual_after(objective, x, step)
            loss = float(ahead @ ahead)
            if not math.isfinite(loss) or loss > WORSE * before:
                break
            if loss < least:
                best, least = step, loss
            if loss <= enough or not left:
                break
            before, step = loss, step + system.approach(ahead - promised, damping, 0)
        return best, least

    def _residual_after(self, objective: Objective, x: Tensor, step: Tensor) -> Tensor:
        self.assign(x - step.to(x.dtype))
        return objective.residual().double()
