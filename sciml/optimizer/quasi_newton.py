r"""What quasi-Newton methods share: a step along :math:`d = -H g` with a strong Wolfe line search.

L-BFGS implementations that stop without a word are a common complaint. Here a step that finds nothing says why, once a
reason, and goes on from what is left to try: after a failed line search from the direction of steepest descent with
cleared memory; if that fails too, or the gradient vanishes, it stays where it is until the function changes, and
takes no more evaluations.

Least squares losses span many orders of magnitude, and the Wolfe conditions are about differences: what is minimised
may be a function φ of the loss with the same minima, φ(f) = √f or log f, with the gradient φ'(f) ∇f (Urbán, Stefanou
and Pons, "Unveiling the optimization process of physics informed neural networks", Journal of Computational Physics 523
(2025), section 3.2).

The loss and the gradient at the accepted point are those of the next step: while ``objective.version`` and the
parameters stay as they are, nothing is evaluated twice.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from sciml.optimizer.base import Objective
from sciml.optimizer.flat import FlatOptimizer
from sciml.optimizer.line_search import Trial, strong_wolfe
from sciml.ranges import Count, NonNegative, Positive


class QuasiNewton(FlatOptimizer):
    """A method with an approximate inverse Hessian H.

    Args:
        params: Parameters; see :class:`FlatOptimizer`.
        lr: First trial step; shorter where H is still the identity.
        tolerance_grad: The gradient counts as zero where none of its entries is larger.
        max_evaluations: Of a line search, each a loss and its gradient.
        minimise: ``loss``, or its ``root`` or ``log``.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1.0,
        tolerance_grad: NonNegative = 0.0,
        max_evaluations: Count = 25,
        minimise: Literal["loss", "root", "log"] = "loss",
    ) -> None:
        super().__init__(params, lr=lr)
        self.tolerance_grad, self.max_evaluations = tolerance_grad, max_evaluations
        self.minimise = minimise

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """-H g, (P,)."""

    @abstractmethod
    def update(self, s: Tensor, y: Tensor, gradient: Tensor, step: float) -> None:
        """Learn from a step ``s``, ``y`` the change of the gradient, of which sᵀy is positive.

        Args:
            s: Step (P,).
            y: Change of the gradient (P,).
            gradient: Before the step (P,).
            step: Line search parameter t, ``s = -t H gradient``.
        """

    @abstractmethod
    def forget(self) -> None:
        """Make H the identity, to be scaled at the next update."""

    @abstractmethod
    def blank(self) -> bool:
        """Whether H is the identity."""

    @property
    def evaluations(self) -> int:
        """Evaluations of loss and gradient so far."""
        return self.memory.get("evaluations", 0)

    @torch.no_grad()
    def step(self, objective: Objective) -> Tensor:
        start, x = self._here(objective)
        if self.lr == 0 or self.memory["stuck"] or not math.isfinite(start.value):
            return start.loss
        if float(start.gradient.abs().max()) <= self.tolerance_grad:
            return self._stay(start, "gradient", "the gradient vanishes")
        while True:
            d = self.direction(start.gradient)
            slope = float(d @ start.gradient)
            if not slope < 0 and not self.blank():
                self.say("ascent", "-H g does not descend (loss %.3g); restarting along -g", float(start.loss))
                self.forget()
                continue
            trial = self._search(objective, start, x, d, slope)
            if trial is not None:
                break
            self.assign(x)
            if self.blank():
                return self._stay(start, "no decrease", "no step along -g lowers the loss any further")
            self.say(
                "line search",
                "the line search failed (loss %.3g, slope %.3g); restarting along -g",
                float(start.loss),
                slope,
            )
            self.forget()
        self._accept(start, trial, x, d)
        return start.loss

    def _here(self, objective: Objective) -> tuple[Trial, Tensor]:
        """The present point, from memory if it is known."""
        memory, x = self.memory, self.vector()
        changed = "version" not in memory or memory["version"] != objective.version
        if changed or not torch.equal(memory["x"], x):
            memory["loss"], memory["gradient"] = self._evaluated(objective)
            memory["version"], memory["x"], memory["stuck"] = objective.version, x, False
        loss = memory["loss"]
        return Trial(0.0, self._value(loss), 0.0, loss, memory["gradient"]), x

    def _evaluated(self, objective: Objective) -> tuple[Tensor, Tensor]:
        """The loss, and the gradient of what is minimised."""
        self.memory["evaluations"] = self.evaluations + 1
        loss, gradient = self.evaluate(objective)
        if self.minimise == "root":
            gradient = gradient / (2 * loss.sqrt())
        elif self.minimise == "log":
            gradient = gradient / loss
        return loss, gradient

    def _value(self, loss: Tensor) -> float:
        """What is minimised; no number for a loss without root or logarithm, such as one that is zero."""
        value = float(loss)
        if self.minimise == "loss":
            return value
        if not value > 0:
            return math.nan
        return math.sqrt(value) if self.minimise == "root" else math.log(value)

    def _search(self, objective: Objective, start: Trial, x: Tensor, d: Tensor, slope: float) -> Trial | None:
        longest = float(d.abs().max())
        if not (slope < 0 and math.isfinite(slope) and 0 < longest < math.inf):
            return None

        def phi(t: float) -> Trial:
            self.assign(torch.add(x, d, alpha=t))
            loss, gradient = self._evaluated(objective)
            return Trial(t, self._value(loss), float(gradient @ d), loss, gradient)

        first = self.lr * (min(1.0, 1.0 / float(start.gradient.abs().sum())) if self.blank() else 1.0)
        start = Trial(0.0, start.value, slope, start.loss, start.gradient)
        # Where steps no longer change the largest entry of the parameters there is nothing to be found.
        shortest = torch.finfo(x.dtype).eps * max(float(x.abs().max()), 1e-8) / longest
        return strong_wolfe(phi, start, first, max_evaluations=self.max_evaluations, shortest=shortest)

    def _accept(self, start: Trial, trial: Trial, x: Tensor, d: Tensor) -> None:
        memory = self.memory
        new = torch.add(x, d, alpha=trial.t)
        self.assign(new)
        s, y = d.mul_(trial.t), trial.gradient - start.gradient
        curvature = float(s @ y)
        if curvature > torch.finfo(s.dtype).eps * float(s.norm()) * float(y.norm()):
            self.update(s, y, start.gradient, trial.t)
        memory["x"], memory["loss"], memory["gradient"] = new, trial.loss, trial.gradient

    def _stay(self, start: Trial, reason: str, message: str) -> Tensor:
        self.memory["stuck"] = True
        self.say(reason, f"{message} (loss %.3g, gradient %.3g)", float(start.loss), float(start.gradient.norm()))
        return start.loss
