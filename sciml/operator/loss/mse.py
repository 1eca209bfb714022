"""Mean square error in units of the fields, the loss of next-step models of one equation."""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.operator.base import Loss


@final
class MeanSquare(Loss):
    """Mean over everything.

    Args:
        periodic: Which axes close; not needed here.
    """

    def __init__(self, periodic: tuple[bool, ...]) -> None:
        pass

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return (prediction - target).square().mean()
