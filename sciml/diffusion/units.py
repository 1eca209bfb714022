"""A user's own units: fields :math:`f = s x + o`, channel by channel, of which a prior knows x."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor


@final
@dataclass(frozen=True)
class Units:
    """What the numbers of a prior's fields stand for.

    Args:
        scale: s of each channel, or of all.
        offset: o of each channel, or of all.
    """

    scale: Sequence[float] = (1.0,)
    offset: Sequence[float] = (0.0,)

    def fields(self, x: Tensor) -> Tensor:
        """The f of an x, ``(..., channels)`` both."""
        return x * x.new_tensor(self.scale) + x.new_tensor(self.offset)

    def size(self, x: Tensor) -> Tensor:
        """Differences, or standard deviations, of f from those of x, ``(..., channels)`` both."""
        return x * x.new_tensor(self.scale)
