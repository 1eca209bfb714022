r"""The mean of an attributor over independently trained models.

.. math:: I_{qi} = \frac1M\sum_{r=0}^{M-1} I_{qi}(\theta^r),

where :math:`\theta^0` is the model that is asked about and the others differ from it in initialisation and order of
batches. It averages out what a score owes to one outcome of the training, which is noise to the question what an
example does to trainings in general (Park et al. 2023, *TRAK: Attributing Model Behavior at Scale*).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.influence.base import Attributor, Params, Task
from sciml.ranges import Count


@final
class Ensemble(Attributor):
    """Averages another attributor.

    Args:
        inner: The other attributor.
        models: M.
    """

    def __init__(self, *, inner: Attributor, models: Count = 4) -> None:
        self.inner, self.models = inner, models
        self.needs = inner.needs
        self.trainings = models - 1 + models * inner.trainings

    def __call__(self, task: Task, params: Params) -> Tensor:
        scores = self.inner(task, params)
        for repeat in range(1, self.models):
            with torch.no_grad():
                ones = torch.ones(1, task.n_train, device=scores.device)
                theta = {name: p[0].detach() for name, p in task.fit(ones, repeat=repeat).items()}
            scores = scores + self.inner(task, theta)
        return scores / self.models
