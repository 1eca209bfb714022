r"""L-BFGS: BFGS with the last m pairs :math:`s_k = x_{k+1} - x_k`, :math:`y_k = g_{k+1} - g_k` instead of a matrix.

.. math:: H_{k+1} = (I - \rho_k s_k y_k^T)\, H_k\, (I - \rho_k y_k s_k^T) + \rho_k s_k s_k^T, \qquad
          \rho_k = 1/y_k^T s_k, \qquad H_{k-m} = \frac{s_{k-1}^T y_{k-1}}{y_{k-1}^T y_{k-1}} I,

applied by the two-loop recursion. Liu and Nocedal, "On the limited memory BFGS method for large scale optimization",
Mathematical Programming 45 (1989); Nocedal and Wright, "Numerical Optimization" (2nd edition), algorithm 7.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

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
        ValueError: A number is out of its range.
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
        if history < 1 or (restart_every is not None and restart_every < 1):
            raise ValueError(f"history is {history} and restart_every {restart_every}; both must be at least 1")
        self.history, self.restart_every = history, restart_every

    def blank(self) -> bool:
        return self.memory.get("pairs", 0) == 0

    def forget(self) -> None:
        self.memory["pairs"] = self.memory["updates"] = 0

    def update(self, s: Tensor, y: Tensor, gradient: Tensor, step: float) -> None:
        memory = self.memory
        if "steps" not in memory:
            memory["steps"], memory["changes"] = (s.new_zeros(self.history, len(s)) for _ in range(2))
            memory["rho"] = s.new_zeros(self.history)
            self.forget()
        elif self.restart_every is not None and memory["updates"] >= self.restart_every:
            self.forget()
        place = memory["updates"] % self.history
        memory["steps"][place], memory["changes"][place], memory["rho"][place] = s, y, 1 / (s @ y)
        memory["updates"] += 1
        memory["pairs"] = min(memory["updates"], self.history)

    def direction(self, gradient: Tensor) -> Tensor:
        d = -gradient
        if self.blank():
            return d
        memory = self.memory
        newest = memory["updates"] - 1
        order = [(newest - i) % self.history for i in range(memory["pairs"])]
        rows = [(memory["steps"][i], memory["changes"][i], memory["rho"][i]) for i in order]
        coefficients = []
        for s, y, rho in rows:
            alpha = rho * (s @ d)
            d.addcmul_(y, alpha, value=-1)
            coefficients.append(alpha)
        _, y, rho = rows[0]
        d /= rho * (y @ y)
        for (s, y, rho), alpha in zip(reversed(rows), reversed(coefficients), strict=True):
            d.addcmul_(s, alpha - rho * (y @ d))
        return d
