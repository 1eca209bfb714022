"""Random weights go, the others stay as they are: the floor."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.influence.pruning.base import Pruner, Weights, without_lowest


@final
class Random(Pruner):
    """Drawn from the run's seed."""

    def __init__(self) -> None:
        self._generator = stream("influence/random pruning")

    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        scores = torch.rand(int(mask.sum()), generator=self._generator).to(weights.device)
        mask = without_lowest(scores, mask, keep)
        return weights * mask, mask
