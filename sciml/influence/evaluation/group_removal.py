r"""Group removal: does the sum of the scores say what training without a whole group of examples does?

The examples are sorted by the score of a query and cut into G strata of equal size, so that every example is in exactly
one group, and the groups range from the most helpful examples over those without effect to the most harmful ones. With
the predicted change :math:`\sum_{i\in S_g} I_{qi}` and the actual one,
:math:`\Delta_{qg} = m_q(\theta_{-S_g}) - m_q(\theta)`, a mean over repeats of the training:

- ``spearman``, ``pearson``: correlation of the two over the groups, averaged over queries;
- ``spearman_low``, ``spearman_high``: 95 % bootstrap interval, groups drawn with replacement;
- ``slope``: :math:`\sum I\Delta/\sum I^2` over everything. Above 1 where removal does more than its first order says:
  the rest of a group can no longer stand in for an example that is gone (leverage);
- ``top``, ``bottom``: actual change without the first and without the last group, averaged over queries.

Koh, Ang, Teo and Liang (2019), *On the Accuracy of Influence Functions for Measuring Group Effects*: the order of group
effects is predicted well where their size is not. Removing examples one by one would say less: a single collocation
point or simulation in a thousand changes little.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Generator, Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.base import Params, Task
from sciml.influence.correlation import pearson, spearman
from sciml.influence.evaluation.base import Evaluation, Findings
from sciml.influence.evaluation.truth import retrained
from sciml.ranges import Count, Several

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class GroupRemoval(Evaluation):
    """Leaves out one stratum of the scores after the other.

    Args:
        groups: G, at least 2 and at most as many as there are examples.
        queries: How many queries have their own strata and trainings, from the first on; null for all.
        repeats: Trainings without each group; the first repeats the training that is asked about.
        resamples: Of the bootstrap.
        batch_size: Trainings at once.

    Raises:
        ConfigError: ``groups`` is above the number of examples.
    """

    def __init__(
        self,
        *,
        groups: Several = 30,
        queries: Count | None = None,
        repeats: Count = 1,
        resamples: Count = 1000,
        batch_size: Count = 64,
    ) -> None:
        self.groups, self.queries, self.repeats = groups, queries, repeats
        self.resamples, self.batch_size = resamples, batch_size

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        if self.groups > task.n_train:
            raise ConfigError(
                f"influence.evaluation.groups is {self.groups}, but the task has only {task.n_train} training examples"
            )
        chosen = scores[: self.queries].cpu().double()
        weights = torch.ones(len(chosen), self.groups, task.n_train)
        for q, order in enumerate(chosen.argsort(dim=1, descending=True)):
            for g, group in enumerate(order.tensor_split(self.groups)):
                weights[q, g, group] = 0.0
        predicted = torch.einsum("qi,qgi->qg", chosen, 1 - weights.double())
        everything = torch.cat([torch.ones(1, task.n_train), weights.flatten(0, 1)])
        measured = retrained(task, everything, range(self.repeats), self.batch_size).double().mean(0)
        after = measured[1:].unflatten(0, weights.shape[:2])  # (queries, groups, n_query)
        own = torch.arange(len(chosen))
        actual = after[own, :, own] - measured[0, : len(chosen), None]
        low, high = interval(predicted, actual, self.resamples, stream("bootstrap"))
        tiny = torch.finfo(torch.float64).tiny
        metrics = {
            "spearman": float(spearman(predicted, actual).mean()),
            "spearman_low": low,
            "spearman_high": high,
            "pearson": float(pearson(predicted, actual).mean()),
            "slope": float((predicted * actual).sum() / predicted.square().sum().clamp(min=tiny)),
            "top": float(actual[:, 0].mean()),
            "bottom": float(actual[:, -1].mean()),
        }
        return Findings(metrics, self.repeats * len(everything), {"group_removal": _figure(predicted, actual)})


def interval(predicted: Tensor, actual: Tensor, resamples: int, generator: Generator) -> tuple[float, float]:
    """2.5th and 97.5th percentile of Spearman's rho, mean over queries, over resampled groups; both ``(Q, G)``."""
    groups = torch.randint(predicted.shape[1], (resamples, predicted.shape[1]), generator=generator)
    found = spearman(predicted[:, groups], actual[:, groups]).mean(0)
    low, high = found.quantile(torch.tensor([0.025, 0.975], dtype=found.dtype)).tolist()
    return low, high


def _figure(predicted: Tensor, actual: Tensor) -> Figure:
    """Actual against predicted change, a colour for each query."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="predicted change of the measurement", ylabel="change after training again")
    for x, y in zip(predicted[:5], actual[:5], strict=True):
        axes.plot(x, y, ".", markersize=5)
    axes.axline((0, 0), slope=1, color="k", linewidth=0.8)
    axes.set_title("groups of examples left out; line: as predicted", fontsize="small")
    return figure
