"""Which numbers a parameter takes: types to annotate a constructor's parameters with.

A config is held against them before anything is built, and the message names the key as the config
has it: ``bad value for pinn.n_points: 0 is not a whole number of at least 1``. So a constructor does not
repeat its annotations: it refuses what depends on several of its parameters, or on data. Who calls one
from Python with a number outside the annotated range is told by nobody, as with any annotation. What no
config builds, such as a solver of :mod:`sciml.equation` or :mod:`sciml.linalg`, refuses by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any


@dataclass(frozen=True)
class Range:
    """An interval of numbers; the annotation of ``Annotated[int, Range(2, 8)]``.

    Args:
        low: Lowest number.
        high: Highest number.
        above: Whether ``low`` itself is out.
        below: Whether ``high`` itself is out.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __contains__(self, number: Any) -> bool:
        over = number > self.low if self.above else number >= self.low
        under = number < self.high if self.below else number <= self.high
        return over and under

    def __str__(self) -> str:
        ends = []
        if self.low > -math.inf:
            ends.append(f"{'above' if self.above else 'of at least'} {self.low}")
        if self.high < math.inf:
            ends.append(f"{'below' if self.below else 'at most'} {self.high}")
        return " and ".join(ends)


Count = Annotated[int, Range(1)]
Several = Annotated[int, Range(2)]
Natural = Annotated[int, Range(0)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Positive = Annotated[float, Range(0, above=True)]
NonNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
PositiveFraction = Annotated[float, Range(0, 1, above=True)]
ProperFraction = Annotated[float, Range(0, 1, above=True, below=True)]
FractionBelowOne = Annotated[float, Range(0, 1, below=True)]
Momentum = FractionBelowOne
