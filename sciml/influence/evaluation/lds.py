r"""Linear datamodelling score: can the sum of the scores say what a network trained on a subset does?

For M random subsets :math:`S_j` of :math:`\alpha n` examples and R trainings on each,

.. math:: \text{LDS} = \frac1Q\sum_q \rho\Big(\big\{\textstyle\sum_{i\notin S_j} I_{qi}\big\}_j,\;
          \big\{\tfrac1R\sum_r m_q(\theta^r(S_j))\big\}_j\Big),

Spearman's :math:`\rho` over subsets (Park et al. 2023, *TRAK: Attributing Model Behavior at Scale*;
up to a constant, the sum over what is left out is minus theirs over what is kept). The subsets come from the run's
seed and are the same for all methods.

How far to trust it:

- ``reliability``: :math:`\rho` between the means of two halves of the R trainings, averaged over queries, for all R by
  Spearman and Brown, :math:`2\rho/(1+\rho)`;
- ``bound``: its square root, the correlation that the noiseless answer itself would have (classical test theory,
  exact for Pearson's r);
- ``lds_low``, ``lds_high``: 95 % bootstrap interval, queries and subsets both drawn with replacement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, final

import torch
from torch import Generator, Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.base import Params, Task
from sciml.influence.correlation import spearman
from sciml.influence.evaluation.base import FRESH, Evaluation, Findings
from sciml.influence.evaluation.truth import retrained, subsets
from sciml.ranges import Count, ProperFraction

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class LDS(Evaluation):
    """Linear datamodelling score.

    Args:
        masks: M.
        alpha: Fraction of the training examples in each subset.
        repeats: R, an even number.
        resamples: Of the bootstrap.
        batch_size: Trainings at once.
        predict: What predicts: the sums of the scores, or, as the ceiling of a table, the noiseless mean over all
            trainings, whose score is ``bound``.

    Raises:
        ConfigError: ``repeats`` is odd.
    """

    def __init__(
        self,
        *,
        masks: Count = 100,
        alpha: ProperFraction = 0.5,
        repeats: Count = 4,
        resamples: Count = 200,
        batch_size: Count = 50,
        predict: Literal["scores", "retraining"] = "scores",
    ) -> None:
        if repeats % 2:
            raise ConfigError(f"influence.evaluation.repeats is {repeats}; two halves need an even number")
        self.masks, self.alpha, self.repeats, self.resamples = masks, alpha, repeats, resamples
        self.batch_size, self.predict = batch_size, predict

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        kept = min(max(1, round(self.alpha * task.n_train)), task.n_train - 1)
        weights = subsets(self.masks, task.n_train, kept, stream("masks"))
        runs = retrained(task, weights, range(FRESH, FRESH + self.repeats), self.batch_size)  # (R, M, Q)
        truth = runs.mean(0).T
        predicted = scores.cpu().double() @ (1 - weights.double()).T
        each = spearman(predicted, truth)
        half = float(spearman(runs[0::2].mean(0).T, runs[1::2].mean(0).T).mean())
        reliability = 2 * half / (1 + half)
        bound = max(reliability, 0.0) ** 0.5
        low, high = interval(predicted, truth, self.resamples, stream("bootstrap"))
        if self.predict == "retraining":
            metrics = {"lds": bound}
        else:
            metrics = {"lds": float(each.mean()), "lds_low": low, "lds_high": high}
        metrics |= {"reliability": reliability, "bound": bound}
        return Findings(metrics, self.repeats * self.masks, {"lds": _figure(predicted, truth, each)})


def interval(predicted: Tensor, truth: Tensor, resamples: int, generator: Generator) -> tuple[float, float]:
    """95 % interval of the score over resampled queries and subsets, both ``(Q, M)``.

    A subset that is drawn twice ties its ranks, which lowers every resampled correlation a little: the percentiles are
    moved by what lies between the score and the mean over resamples.
    """
    queries, masks = predicted.shape
    found = []
    for _ in range(resamples):
        m = torch.randint(masks, (masks,), generator=generator)
        q = torch.randint(queries, (queries,), generator=generator)
        found.append(spearman(predicted[:, m], truth[:, m])[q].mean())
    scores = torch.stack(found)
    low, high = scores.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    moved = spearman(predicted, truth).mean() - scores.mean()
    return float(low + moved), float(high + moved)


def _figure(predicted: Tensor, truth: Tensor, each: Tensor) -> Figure:
    """How the queries differ, and the query in the middle of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.hist(each.numpy(), bins=20, color="C0")
    left.axvline(float(each.mean()), color="k", linewidth=0.8, label=f"mean {float(each.mean()):.2f}")
    left.set(xlabel="Spearman's ρ over subsets", ylabel="queries")
    left.legend(frameon=False)
    middle = int((each - each.median()).abs().argmin())
    right.plot(truth[middle].numpy(), predicted[middle].numpy(), ".", markersize=4)
    right.set(
        xlabel="query loss after training on the subset",
        ylabel="sum of the scores left out",
        title=f"query {middle}, ρ = {float(each[middle]):.2f}",
    )
    return figure
