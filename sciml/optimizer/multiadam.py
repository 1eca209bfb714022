r"""MultiAdam: Adam for each group of loss terms, and the mean of their directions.

For loss groups :math:`i = 1 \dots n` with gradients :math:`g_i`,

.. math:: m_i \leftarrow \beta_1 m_i + (1 - \beta_1) g_i, \qquad
          v_i \leftarrow \beta_2 v_i + (1 - \beta_2) g_i^2, \qquad
          \theta \leftarrow \theta - \frac{\eta}{n} \sum_i \frac{\hat m_i}{\sqrt{\hat v_i} + \epsilon},

with hats for the bias correction. A factor of a loss group changes nothing, entry by entry of the parameters. Source:
Yao, Su, Hao, Liu, Su and Zhu, "MultiAdam: parameter-wise scale-invariant optimizer for multiscale training of
physics-informed neural networks", ICML 2023 (arXiv 2306.02816). With one group it is Adam. The authors' code can also
weight the groups and add a second Adam behind the mean, both off by default; neither is here.

Near a minimum the normalised steps keep their length: a learning rate that decays is needed to converge.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor

from sciml.conflict.groups import Groups, partition, total
from sciml.errors import ConfigError
from sciml.optimizer.base import Objective
from sciml.optimizer.flat import FlatOptimizer
from sciml.ranges import Momentum, NonNegative, Positive


@final
class MultiAdam(FlatOptimizer):
    """Adam's moments for each group of loss terms.

    Args:
        params: Parameters, one group.
        lr: η.
        betas: (β₁, β₂), by default the paper's.
        eps: ε.
        groups: Names of the loss terms of each group; terms that are not named make a group together. By default each
            term is a group.

    Raises:
        ValueError: See :class:`FlatOptimizer`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: Positive = 1e-3,
        betas: tuple[Momentum, Momentum] = (0.99, 0.99),
        eps: NonNegative = 1e-8,
        groups: Groups | None = None,
    ) -> None:
        super().__init__(params, lr=lr)
        self.betas, self.eps, self.groups = tuple(betas), eps, groups

    def step(self, objective: Objective) -> Tensor:
        with torch.enable_grad():
            terms = objective.terms_once()
            grouped = [total(terms, group) for group in partition([*terms], self.groups, key="optimizer.groups")]
            # One row a group, from one forward pass.
            rows = [self._gradient(loss, keep=i + 1 < len(grouped)) for i, loss in enumerate(grouped)]
        with torch.no_grad():
            self._move(torch.stack(rows))
            return torch.stack([t.detach() for t in terms.values()]).sum()

    def _gradient(self, loss: Tensor, *, keep: bool) -> Tensor:
        params = self.parameters
        if not loss.requires_grad:
            return torch.cat([torch.zeros_like(p).reshape(-1) for p in params])
        grads = torch.autograd.grad(loss, params, retain_graph=keep, materialize_grads=True)
        return torch.cat([g.reshape(-1) for g in grads])

    def _move(self, rows: Tensor) -> None:
        memory, (beta1, beta2) = self.memory, self.betas
        if not memory:
            memory["taken"], memory["mean"], memory["square"] = 0, torch.zeros_like(rows), torch.zeros_like(rows)
        if memory["mean"].shape != rows.shape:
            raise ConfigError(
                f"MultiAdam had {len(memory['mean'])} groups of loss terms and has {len(rows)} now; keep them"
            )
        memory["taken"] += 1
        mean = memory["mean"].lerp_(rows, 1 - beta1)
        square = memory["square"].mul_(beta2).addcmul_(rows, rows, value=1 - beta2)
        denominator = square.sqrt().div_((1 - beta2 ** memory["taken"]) ** 0.5).add_(self.eps)
        direction = (mean / denominator).mean(0)
        self.assign(self.vector().sub_(direction, alpha=self.lr / (1 - beta1 ** memory["taken"])))
