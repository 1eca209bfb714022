"""Floor and ceiling of a PINN table: the mean of the reference, and the reference itself.

A network that does no better than the mean has solved nothing; what the reference leaves is the error of the
evaluation (precision, and the reference solver's own tolerance).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.pinn.base import Problem
from sciml.pinn.evaluation import errors, grid, solution_figures
from sciml.pinn.jet import Jet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Baseline(LightningModule):
    """A prediction without training, judged like a network.

    Args:
        problem: What is to be solved.
        predict: ``mean``, the mean of the reference over the evaluation grid at every point, or ``reference``.
        n_val: Points of the final residual.

    Raises:
        ConfigError: ``predict`` is neither.
    """

    def __init__(self, *, problem: Problem, predict: Literal["mean", "reference"] = "mean", n_val: int = 5000) -> None:
        super().__init__()
        if predict not in ("mean", "reference"):
            raise ConfigError(f"predict is '{predict}'; it must be mean or reference")
        self.problem, self.n_val = problem, n_val
        self.field = Constant(problem.reference(grid(problem)).mean(dim=0)) if predict == "mean" else Truth(problem)

    def test_step(self, batch: int, batch_idx: int) -> None:
        # The jet differentiates by autograd, which inference mode forbids.
        with torch.inference_mode(False):
            self.log_dict(errors(self.problem, Jet(self.field), self._like, n=self.n_val), batch_size=1)

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


class Truth(nn.Module):
    """A problem's reference as a field."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem

    def forward(self, x: Tensor) -> Tensor:
        return self.problem.reference(x)
