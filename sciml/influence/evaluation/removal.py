r"""Removal curves: how far the loss of a query rises when the examples with its k largest scores are taken out.

.. math:: \text{rise}_k = \frac{1}{QR}\sum_{q,r} m_q\big(\theta^r_{-\text{top}_k(I_q)}\big) - m_q(\theta^r),

a mean over Q queries and R trainings, each compared with the training of the same initialisation and batches on all
examples (Grosse et al. 2023, *Studying Large Language Model Generalization with Influence Functions*; Bae
et al. 2024, *Training Data Attribution via Approximate Unrolled Differentiation*). ``rise`` is that of the
largest k, in the unit of the measurement. Removing as many examples at random is measured beside it, and so is any
attributor that the figure is to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.evaluation.base import FRESH, Evaluation, Findings
from sciml.influence.evaluation.truth import retrained, subsets
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@final
class Removal(Evaluation):
    """Takes out what scores highest, and trains again.

    Args:
        counts: The numbers k of examples that are removed, rising.
        queries: Q, the first ones of the task, at most all of them.
        repeats: R.
        draws: Random removals at each k.
        against: Attributors by name that are drawn into the figure, and filed as ``rise_<name>``.
        batch_size: Trainings at once.

    Raises:
        ConfigError: ``counts`` is empty or does not rise.
    """

    def __init__(
        self,
        *,
        counts: Sequence[Count] = (5, 10, 15, 20, 25, 30),
        queries: Count = 10,
        repeats: Count = 5,
        draws: Count = 10,
        against: Mapping[str, Attributor] | None = None,
        batch_size: Count = 50,
    ) -> None:
        if not counts or sorted(set(counts)) != list(counts):
            raise ConfigError(f"influence.evaluation.counts is {list(counts)}; it must be rising numbers")
        self.counts, self.queries, self.repeats, self.draws = list(counts), queries, repeats, draws
        self.against, self.batch_size = dict(against or {}), batch_size

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        if self.counts[-1] >= task.n_train:
            raise ConfigError(f"influence.evaluation.counts removes {self.counts[-1]} of {task.n_train} examples")
        before = self._measured(task, torch.ones(1, task.n_train))[:, 0]
        with torch.enable_grad():
            others = {name: attributor(task, params).detach() for name, attributor in self.against.items()}
        queries = min(self.queries, task.n_query)
        curves = {
            name: self._curve(task, values[:queries].cpu(), before)
            for name, values in {"scores": scores, **others}.items()
        }
        random = self._random(task, queries, before)
        trainings = 1 + len(self.counts) * (queries * len(curves) + self.draws)
        trainings += sum(attributor.trainings for attributor in self.against.values())
        mine = curves["scores"].mean((0, 1))
        metrics = {"rise": float(mine[-1]), "rise_random": float(random.mean((0, 1))[-1])}
        metrics |= {f"rise_{k}": float(value) for k, value in zip(self.counts[:-1], mine, strict=False)}
        metrics |= {f"rise_{name}": float(curves[name].mean((0, 1))[-1]) for name in others}
        figure = _figure(self.counts, {**curves, "random": random})
        return Findings(metrics, self.repeats * trainings, {"removal": figure})

    def _measured(self, task: Task, weights: Tensor) -> Tensor:
        return retrained(task, weights, range(FRESH, FRESH + self.repeats), self.batch_size)

    def _curve(self, task: Task, scores: Tensor, before: Tensor) -> Tensor:
        """Rise for each repeat, query and k, ``(R, Q, K)``."""
        order = scores.argsort(dim=1, descending=True)
        weights = torch.ones(len(scores), len(self.counts), task.n_train)
        for j, k in enumerate(self.counts):
            weights[:, j].scatter_(1, order[:, :k], 0.0)
        after = self._measured(task, weights.flatten(0, 1)).unflatten(1, weights.shape[:2])  # (R, Q, K, n_query)
        q = torch.arange(len(scores))
        return after[:, q, :, q].transpose(0, 1) - before[:, : len(scores), None]

    def _random(self, task: Task, queries: int, before: Tensor) -> Tensor:
        """The same of random removals, ``(R, queries x draws, K)``."""
        generator = stream("random removals")
        weights = [subsets(self.draws, task.n_train, task.n_train - k, generator) for k in self.counts]
        after = self._measured(task, torch.cat(weights)).unflatten(1, (len(self.counts), self.draws))
        rise = after[..., :queries] - before[:, None, None, :queries]  # (R, K, draws, queries)
        return rise.flatten(2).transpose(1, 2)


def _figure(counts: list[int], curves: dict[str, Tensor]) -> Figure:
    """Mean rise with its standard error over queries."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 3.6), layout="constrained")
    axes = figure.add_subplot(xlabel="training examples removed", ylabel="rise of the query's loss")
    for name, rise in curves.items():
        each = rise.mean(0)
        error = each.std(0) / len(each) ** 0.5 if len(each) > 1 else torch.zeros(len(counts))
        axes.errorbar([0, *counts], [0, *each.mean(0).tolist()], [0, *error.tolist()], label=name, capsize=2)
    axes.axhline(0, color="k", linewidth=0.5)
    axes.legend(frameon=False)
    return figure
