r"""TracIn: what each example did to a query's loss along the path of the training.

.. math:: I_{qi} = \sum_k \tau_k\,\nabla m_q(\theta_k)^T\nabla\ell_i(\theta_k),

Pruthi et al. (2020), *Estimating Training Data Influence by Tracing Gradient Descent*, TracInCP, with the
sign of :mod:`sciml.influence.base`: it is the first-order fall of the loss that the example is owed. The paper sets
:math:`\tau_k` to the learning rate at checkpoint k. Here it is the time of gradient flow on the sum of the losses that
the segment before the checkpoint took, momentum included, so that the scores have the unit of a change of the loss.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task, TrainedTask
from sciml.ranges import Count


@final
class TracIn(Attributor):
    """Sums another attributor over the checkpoints of the training.

    Args:
        inner: At each checkpoint: the product of the gradients.
        checkpoints: Number of segments of equal length that the training is divided into, at most all its steps.
    """

    needs: type[Task] = TrainedTask
    trainings = 1

    def __init__(self, *, inner: Attributor, checkpoints: Count = 5) -> None:
        self.inner, self.checkpoints = inner, checkpoints

    def __call__(self, task: Task, params: Params) -> Tensor:
        if not isinstance(task, TrainedTask):
            raise RunError(f"attributor tracin needs a TrainedTask, which task {type(task).__name__} is not")
        return torch.stack([time * self.inner(task, theta) for time, theta in task.trajectory(self.checkpoints)]).sum(0)
