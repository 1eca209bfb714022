r"""Mislabelled examples: those with a wrong class influence their own loss most.

The training examples are ranked by self-influence :math:`I_{ii} = \nabla\ell_i^T H^{-1}\nabla\ell_i`, and looked
through from the top (Koh and Liang 2017, section 5.4):

- ``found_10``, ``found_20``: fraction of the wrong ones among the first 10 and 20 % of the ranking,
- ``auc``: probability that a wrong one stands before a right one.

A table's floor ranks by the loss itself, which needs no influence at all; its ceiling knows which classes are wrong.
The task has wrong classes (``flipped``) and its own training examples as queries (``queries: training``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.influence.base import Params, Task
from sciml.influence.correlation import ranks
from sciml.influence.evaluation.base import Evaluation, Findings

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class Mislabel(Evaluation):
    """Looks for wrong classes; trains nothing.

    Args:
        rank_by: What ranks the examples: their scores, the floor or the ceiling.

    Raises:
        ConfigError: When called: the task has no wrong classes, or asks about other examples than its own.
    """

    def __init__(self, *, rank_by: Literal["scores", "loss", "truth"] = "scores") -> None:
        self.rank_by = rank_by

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        wrong = getattr(task, "is_flipped", None)
        if wrong is None or not bool(wrong.any()):
            raise ConfigError(
                "influence/evaluation=mislabel needs a task with wrong classes: influence.task.flipped=0.1"
            )
        if task.n_query != task.n_train:
            raise ConfigError(
                "influence/evaluation=mislabel asks the training examples: influence.task.queries=training"
            )
        wrong = wrong.cpu()
        with torch.no_grad():
            values = {"scores": scores.diagonal(), "loss": task.losses(params), "truth": wrong.double()}
        ranking = values[self.rank_by].cpu()
        among = found(ranking, wrong)
        metrics = {f"found_{p}": float(among[round(p / 100 * len(wrong)) - 1]) for p in (10, 20)}
        names = dict.fromkeys([self.rank_by, "loss"])
        figure = _figure({name: found(values[name].cpu(), wrong) for name in names})
        return Findings({**metrics, "auc": auc(ranking, wrong)}, figures={"mislabel": figure})


def found(values: Tensor, wrong: Tensor) -> Tensor:
    """Fraction of the wrong ones among the first 1, 2, ... n of the ranking by falling value, ``(n,)``."""
    order = values.argsort(descending=True, stable=True)
    return wrong[order].double().cumsum(0) / wrong.sum()


def auc(values: Tensor, wrong: Tensor) -> float:
    """Probability that a wrong one has the larger value; equal values count half (Mann and Whitney)."""
    above = int(wrong.sum())
    return float((ranks(values)[wrong].sum() - above * (above + 1) / 2) / (above * (len(wrong) - above)))


def _figure(curves: dict[str, Tensor]) -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="training examples inspected [%]", ylabel="wrong classes found [%]")
    for name, curve in curves.items():
        inspected = torch.linspace(0, 100, len(curve) + 1)[1:]
        axes.plot(inspected, 100 * curve, label="self-influence" if name == "scores" else name)
    axes.plot([0, 100], [0, 100], "k--", linewidth=0.8, label="at random")
    axes.legend(frameon=False)
    return figure
