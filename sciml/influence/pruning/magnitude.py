"""The smallest weights of the whole network go, the others stay as they are.

Global magnitude pruning, the rival in Frantar, Kurtic and Alistarh (2021), *M-FAC*, section on pruning: what optimal
brain surgeon becomes with the identity for a Hessian.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.influence.pruning.base import Pruner, Weights, without_lowest


@final
class Magnitude(Pruner):
    """By absolute value."""

    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        mask = without_lowest(weights[mask].abs(), mask, keep)
        return weights * mask, mask
