r"""Gauss-Newton methods for losses :math:`f(\theta) = \|r(\theta)\|^2` with the Jacobian J of r.

ENGD-W, energy natural gradient descent with the Woodbury identity:

.. math:: d = J^T (J J^T + \lambda I)^{-1} r, \qquad \theta \leftarrow \theta - \eta\, d,

SPRING, the same with the previous step for a starting point:

.. math:: \phi \leftarrow \mu\phi + J^T (J J^T + \lambda I)^{-1} (r - \mu J \phi), \qquad
          \theta \leftarrow \theta - \eta\,\phi .

Sources: Müller and Zeinhofer, "Achieving high accuracy with PINNs via energy natural gradient descent", ICML 2023
(arXiv 2302.13163); Guzmán-Cordero, Dangel, Goldshlager and Zeinhofer, "Improving energy natural gradient descent
through Woodbury, momentum, and randomization", NeurIPS 2025 (arXiv 2505.12149), equation 5 for ENGD-W and algorithm 1
for SPRING, which is by Goldshlager, Abrahamsen and Lin, "A Kaczmarz-inspired approach to accelerate the optimization of
neural network wavefunctions", Journal of Computational Physics 516 (2024) (arXiv 2401.10190).

Where these differ from the papers:

* The step length is the best of :math:`\eta, \eta/2, \eta/4, \dots`, as in the authors' code, but the search ends where
  the loss rises again after it has fallen; they evaluate the whole grid.
* Algorithm 1 has no line search for SPRING. It divides :math:`\phi` of step k by :math:`\sqrt{1 - \mu^{2k}}`, takes a
  given learning rate and bounds the length of the step; without line search there is neither here.
* SPRING forgets its momentum when no step of the grid lowers the loss, for the next direction is then that of ENGD-W.
* Where there are fewer parameters than residuals the same direction comes from the smaller matrix
  :math:`J^T J + \lambda I`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from sciml.optimizer.base import Objective
from sciml.optimizer.flat import FlatOptimizer
from sciml.optimizer.least_squares import DampedLeastSquares
from sciml.optimizer.line_search import best_of_halved
from sciml.ranges import Momentum, Natural, Positive


class GaussNewton(FlatOptimizer):
    """What the methods share.

    Args:
        params: Parameters; see :class:`FlatOptimizer`.
        lr: Learning rate.
        damping: λ.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], *, lr: Positive = 1.0, damping: Positive
    ) -> None:
        super().__init__(params, lr=lr)
        self.damping = damping

    @final
    @torch.no_grad()
    def step(self, objective: Objective) -> Tensor:
        residual, jacobian = objective.rows()
        loss = residual @ residual
        value = float(loss)
        if self.lr != 0 and math.isfinite(value):
            self.move(objective, residual, DampedLeastSquares(jacobian), value)
        return loss

    @abstractmethod
    def move(self, objective: Objective, residual: Tensor, system: DampedLeastSquares, value: float) -> None:
        """Take a step from the residuals (n,), their linearisation and the loss, which is finite."""


class ENGDW(GaussNewton):
    """Energy natural gradient descent in the Woodbury form.

    Args:
        params: Parameters, one group.
        lr: η, the longest step of the line search.
        damping: λ. What is best depends on the problem, over many orders of magnitude.
        halvings: The shortest step of the line search is ``lr / 2**halvings``; 0 for steps of ``lr`` without search.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1.0,
        damping: Positive = 1e-12,
        halvings: Natural = 30,
    ) -> None:
        super().__init__(params, lr=lr, damping=damping)
        self.halvings = halvings

    def move(self, objective: Objective, residual: Tensor, system: DampedLeastSquares, value: float) -> None:
        d = self._direction(residual, system).to(residual.dtype)
        x = self.vector()
        if self.halvings == 0:
            self.assign(torch.add(x, d, alpha=-self.lr))
        elif not self._take_best(objective, x, d, value, self.halvings):
            self._failed()

    def _direction(self, residual: Tensor, system: DampedLeastSquares) -> Tensor:
        return self._solve(system, residual, self.damping)

    def _solve(self, system: DampedLeastSquares, residual: Tensor, damping: float) -> Tensor:
        """The direction; says so, once, where it took an orthogonal factorisation."""
        before = system.orthogonal
        d = system.solve(residual, damping)
        if system.orthogonal > before:
            self.say(
                "rounding",
                "damping %.3g is below the rounding errors of the Gram matrix: orthogonal factorisations are used"
                " instead, which take longer",
                damping,
            )
        return d

    def _take_best(self, objective: Objective, x: Tensor, d: Tensor, loss: float, halvings: int) -> float:
        """Go from ``x`` along ``-d`` to the best step of the grid; returns it, 0 if none lowers the loss."""
        t, _ = best_of_halved(lambda t: self.value_along(objective, x, d, t), loss, self.lr, trials=halvings + 1)
        self.assign(torch.add(x, d, alpha=-t) if t else x)
        if not t:
            self.say("no decrease", "no step of the line search lowers the loss (%.3g)", loss)
        return t

    def _failed(self) -> None:
        """No step of the line search lowers the loss."""


@final
class SPRING(ENGDW):
    """ENGD-W with momentum.

    Args:
        params: Parameters, one group.
        lr: η, the longest step of the line search.
        damping: λ.
        momentum: μ; 0 is ENGD-W.
        halvings: The shortest step of the line search is ``lr / 2**halvings``; 0 for steps of ``lr`` without search.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1.0,
        damping: Positive = 1e-10,
        momentum: Momentum = 0.9,
        halvings: Natural = 30,
    ) -> None:
        super().__init__(params, lr=lr, damping=damping, halvings=halvings)
        self.momentum = momentum

    def _direction(self, residual: Tensor, system: DampedLeastSquares) -> Tensor:
        memory = self.memory
        if "phi" not in memory:
            memory["phi"] = system.jacobian.new_zeros(system.jacobian.shape[1])
        phi = self.momentum * memory["phi"]
        memory["phi"] = phi + self._solve(system, residual.double() - system.jacobian @ phi, self.damping)
        return memory["phi"]

    def _failed(self) -> None:
        self.memory["phi"] = torch.zeros_like(self.memory["phi"])
