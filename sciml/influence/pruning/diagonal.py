r"""The weights go whose loss, by the diagonal of the empirical Fisher matrix, is the least:
:math:`\rho_i = \tfrac12 w_i^2\,(\lambda + \tfrac1m\sum_k g_{ki}^2)`.

LeCun, Denker and Solla (1990), *Optimal Brain Damage*, eq. 5, with the Fisher matrix in the place of the Hessian. A
diagonal has nothing to tell the other weights: they stay as they are.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.influence.pruning.base import Pruner, Weights, without_lowest
from sciml.ranges import Count, NonNegative


@final
class Diagonal(Pruner):
    """Diagonal Fisher matrix.

    Args:
        gradients: m.
        batch_size: Examples of which each gradient is the mean.
        damping: Lambda.
    """

    def __init__(self, *, gradients: Count = 64, batch_size: Count = 32, damping: NonNegative = 1e-5) -> None:
        self.gradients, self.batch_size, self.damping = gradients, batch_size, damping

    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        rows = model.gradients(weights, self.gradients, self.batch_size)[:, mask].double()
        scores = weights[mask].double().square() * (self.damping + rows.square().mean(0)) / 2
        mask = without_lowest(scores, mask, keep)
        return weights * mask, mask
