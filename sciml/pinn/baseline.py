"""Floor and ceilings of a PINN table: the mean of the reference, a classical solver, and the reference itself.

A network that does no better than the mean has solved nothing; one that does no better than a textbook method in the
same seconds has not been needed; what the reference leaves is the error of the evaluation (precision, and the reference
solver's own tolerance).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sciml.equation.base import Equation, NoReference
from sciml.errors import ConfigError
from sciml.metric import max_error, relative_l2
from sciml.pinn.base import Problem
from sciml.pinn.evaluation import errors, grid, solution_figures
from sciml.pinn.jet import Jet
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Baseline(LightningModule):
    """A prediction without training, judged like a network.

    Args:
        problem: What is to be solved.
        predict: ``mean``, the mean of the reference over the evaluation grid at every point; ``classical``, what the
            equation's classical solver makes of it on that grid, which leaves the residual out; or ``reference``.
        n_val: Points of the final residual.

    Raises:
        ConfigError: There is no classical solver or no reference.
    """

    def __init__(
        self, *, problem: Problem, predict: Literal["mean", "classical", "reference"] = "mean", n_val: Count = 5000
    ) -> None:
        super().__init__()
        if not problem.known:
            raise NoReference("predict: floors and ceilings are judged by a reference, and this equation has none")
        self.problem, self.n_val = problem, n_val
        self._seconds: float | None = None
        self.field: nn.Module
        if predict == "mean":
            self.field = Constant(problem.reference(grid(problem)).mean(dim=0))
        elif predict == "reference":
            self.field = Truth(problem)
        else:
            self.field = self._solve()

    def _solve(self) -> nn.Module:
        equation = getattr(self.problem, "equation", None)
        if not isinstance(equation, Equation):
            raise ConfigError(f"predict: {type(self.problem).__name__} has no equation with a classical solver")
        start = time.perf_counter()
        try:
            values = equation.classical(list(self.problem.axes.values()))
        except NotImplementedError as error:
            raise ConfigError(f"predict: {error}") from error
        self._seconds = time.perf_counter() - start
        return Gridded(values)

    def test_step(self, batch: int, batch_idx: int) -> None:
        # The jet differentiates by autograd, which inference mode forbids.
        with torch.inference_mode(False):
            if isinstance(self.field, Gridded):
                reference = self.problem.reference(grid(self.problem))
                found = {
                    "rel_l2": relative_l2(self.field.values, reference),
                    "max_error": max_error(self.field.values, reference),
                }
            else:
                found = errors(self.problem, Jet(self.field), self._like, n=self.n_val)
            self.log_dict(found, batch_size=1)

    def cost(self) -> dict[str, float]:
        """Seconds of a classical solver."""
        return {} if self._seconds is None else {"solver_seconds": round(self._seconds, 3)}

    def test_dataloader(self) -> list[int]:
        return [0]

    def figures(self) -> dict[str, Figure]:
        """Prediction, reference and error."""
        return solution_figures(self.problem, Jet(self.field), self._like)

    @property
    def _like(self) -> Tensor:
        return torch.zeros((), dtype=torch.float64)


class Constant(nn.Module):
    """The same values (m,) at every point, as a field that autograd can differentiate."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return self.value + 0 * x[:, :1]


class Gridded(nn.Module):
    """Values (n, m) on the evaluation grid, and nowhere else."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = values

    def forward(self, x: Tensor) -> Tensor:
        if len(x) != len(self.values):
            raise ValueError("a classical solution is known on the evaluation grid only")
        return self.values.to(x)


class Truth(nn.Module):
    """A problem's reference as a field."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def forward(self, x: Tensor) -> Tensor:
        return self.problem.reference(x)
