r"""Leave-one-out: scores against what training without each example really does.

With scores :math:`I_{qi}` and the change of the measurement :math:`\Delta_{qi} = m_q(\theta_{-i}) - m_q(\theta)`, a
mean over repeats of the training, each of which is compared with itself:

- ``spearman``, ``pearson``: correlation of the two over the training examples, averaged over queries,
- ``scale_ratio``: slope of change against score through the origin, :math:`\sum I\Delta / \sum I^2`, over
  everything; 1 when sign and unit are right, below 1 when the scores are too large.

Koh and Liang (2017), *Understanding Black-box Predictions via Influence Functions*, section 4.1. For networks trained
by SGD the change of a single removal drowns in the noise of the training (Basu et al. 2021, *Influence Functions in
Deep Learning Are Fragile*): there the linear datamodelling score says more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.influence.base import Params, Task
from sciml.influence.correlation import pearson, spearman
from sciml.influence.evaluation.base import Evaluation, Findings
from sciml.influence.evaluation.truth import retrained
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class LeaveOneOut(Evaluation):
    """Leaves out every training example, one at a time.

    Args:
        repeats: Trainings with each example left out; the first repeats the training that is asked about.
        batch_size: Trainings at once.
    """

    def __init__(self, *, repeats: Count = 1, batch_size: Count = 256) -> None:
        self.repeats, self.batch_size = repeats, batch_size

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        n = task.n_train
        weights = torch.cat([torch.ones(1, n), 1 - torch.eye(n)])
        after = retrained(task, weights, range(self.repeats), self.batch_size).mean(0)
        changes = (after[1:] - after[0]).T
        tiny = torch.finfo(scores.dtype).tiny
        metrics = {
            "spearman": float(spearman(scores, changes).mean()),
            "pearson": float(pearson(scores, changes).mean()),
            "scale_ratio": float((scores * changes).sum() / scores.square().sum().clamp(min=tiny)),
        }
        return Findings(metrics, self.repeats * len(weights), {"predicted_against_actual": _figure(scores, changes)})


def _figure(scores: Tensor, changes: Tensor) -> Figure:
    """Predicted against actual change, for the first queries."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="actual change of query loss", ylabel="score")
    for predicted, actual in zip(scores[:5].cpu(), changes[:5].cpu(), strict=True):
        axes.plot(actual, predicted, ".", markersize=4)
    axes.axline((0, 0), slope=1, color="k", linewidth=0.8)
    return figure
