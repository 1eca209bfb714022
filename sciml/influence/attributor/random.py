"""Standard normal scores: the floor of every table."""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.influence.base import Attributor, Params, Task


@final
class Random(Attributor):
    """Drawn from the run's seed, not from the task."""

    def __init__(self) -> None:
        self._generator = stream("random attributor")

    def __call__(self, task: Task, params: Params) -> Tensor:
        like = next(iter(params.values()))
        return normal((task.n_query, task.n_train), self._generator, like)
