"""Nothing goes, whatever sparsity was asked for: the ceiling."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Tensor

from sciml.influence.pruning.base import Pruner, Weights


@final
class Dense(Pruner):
    """Leaves the network as it was trained."""

    prunes: ClassVar[bool] = False

    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        return weights, mask
