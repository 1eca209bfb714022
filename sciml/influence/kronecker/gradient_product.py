"""Attributors without curvature: products of gradients, as they are or normalised.

A network's gradients are never formed where its layers have Kronecker structure; those of another task are.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import torch
from torch import Tensor

from sciml.influence.base import NetworkTask, Params, Task
from sciml.influence.kronecker.attributor import Kronecker, Precision
from sciml.ranges import Count


class GradientProduct(Kronecker, ABC):
    """One pass.

    Args:
        batch_size: Examples at once.
        precision: Of the products: ``float32`` or ``bfloat16``.
    """

    needs: type[Task] = Task
    rotate: ClassVar[bool] = False
    spectrum: ClassVar[str] = "one"

    def __init__(self, *, batch_size: Count = 1024, precision: Precision = "float32") -> None:
        super().__init__(batch_size=batch_size, precision=precision)

    def __call__(self, task: Task, params: Params) -> Tensor:
        if isinstance(task, NetworkTask):
            return super().__call__(task, params)
        query, train = task.query_gradients(params), task.gradients(params)
        if self.normalise:
            tiny = torch.finfo(torch.float64).tiny
            query, train = (g / g.norm(dim=1, keepdim=True).clamp(min=tiny) for g in (query, train))
        return query @ train.T
