r"""L-BFGS: BFGS with the last m pairs :math:`s_k = x_{k+1} - x_k`, :math:`y_k = g_{k+1} - g_k` instead of a matrix.

.. math:: H_{k+1} = (I - \rho_k s_k y_k^T)\, H_k\, (I - \rho_k y_k s_k^T) + \rho_k s_k s_k^T, \qquad
          \rho_k = 1/y_k^T s_k, \qquad H_{k-m} = \frac{s_{k-1}^T y_{k-1}}{y_{k-1}^T y_{k-1}} I,

applied by the two-loop recursion. Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
Mathematical Programming 45 (1989); Nocedal and Wright, "Numerical Optimization" (2nd edition), algorithm 7.4.

Each loop is the solution of a triangular system: with the pairs as the columns of S and Y, oldest first, with R the
upper triangle of :math:`S^T Y` and D its diagonal,

.. math:: R\, \alpha = S^T g, \qquad q = \frac{s^T y}{y^T y} (g - Y \alpha), \qquad
          R^T \delta = D \alpha - Y^T q, \qquad H g = q + S \delta,

(Byrd, Nocedal and Schnabel, "Representations of quasi-Newton matrices and their use in limited memory methods",
Mathematical Programming 63 (1994), multiply the two systems out.) This takes four products with S and Y instead of
four passes over single pairs, whose calls cost more than their arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from sciml.optimizer.quasi_newton import QuasiNewton
from sciml.ranges import Count, NonNegative, Positive


@final
class LBFGS(QuasiNewton):
    """Limited-memory BFGS with a strong Wolfe line search, one iteration a step.

    Args:
        params: Parameters, one group.
        lr: First trial step.
        history: m.
        restart_every: Steps after which the memory is cleared; never by default.
        tolerance_grad: The gradient counts as zero where none of its entries is larger.
        max_evaluations: Of a line search.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1.0,
        history: Count = 100,
        restart_every: Count | None = None,
        tolerance_grad: NonNegative = 0.0,
        max_evaluations: Count = 25,
    ) -> None:
        super().__init__(params, lr=lr, tolerance_grad=tolerance_grad, max_evaluations=max_evaluations)
        self.history, self.restart_every = history, restart_every

    def blank(self) -> bool:
        return self.memory.get("pairs", 0) == 0

    def forget(self) -> None:
        self.memory["pairs"] = self.memory["updates"] = 0

    def update(self, s: Tensor, y: Tensor, gradient: Tensor, step: float) -> None:
        memory = self.memory
        if "steps" not in memory:
            memory["steps"], memory["changes"] = (s.new_zeros(self.history, len(s)) for _ in range(2))
            memory["products"] = s.new_zeros(self.history, self.history)
            self.forget()
        elif self.restart_every is not None and memory["updates"] >= self.restart_every:
            self.forget()
        place = memory["updates"] % self.history
        memory["steps"][place], memory["changes"][place] = s, y
        memory["products"][:, place] = memory["steps"] @ y  # with later steps, too: those are never read
        memory["updates"] += 1
        memory["pairs"] = min(memory["updates"], self.history)

    def direction(self, gradient: Tensor) -> Tensor:
        if self.blank():
            return -gradient
        memory, pairs = self.memory, self.memory["pairs"]
        # Places of the pairs, oldest first; in the order of the places themselves S and Y need not be copied.
        first = memory["updates"] % self.history if pairs == self.history else 0
        steps, changes = memory["steps"][:pairs], memory["changes"][:pairs]
        products = memory["products"][:pairs, :pairs].roll((-first, -first), (0, 1))
        newest = changes[first - 1]
        alpha = _solve(products, (steps @ gradient).roll(-first), upper=True)
        d = torch.addmv(gradient, changes.T, alpha.roll(first), alpha=-1)
        d *= products[-1, -1] / (newest @ newest)
        delta = _solve(products.T, products.diagonal() * alpha - (changes @ d).roll(-first), upper=False)
        return d.addmv_(steps.T, delta.roll(first)).neg_()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        memory = self.memory
        if "steps" in memory and "products" not in memory:  # saved when single pairs were gone through
            memory["products"] = memory["steps"] @ memory["changes"].T


def _solve(matrix: Tensor, right: Tensor, *, upper: bool) -> Tensor:
    """Solution (m,) of a triangular system; the other triangle is not read."""
    return torch.linalg.solve_triangular(matrix, right[:, None], upper=upper)[:, 0]
