"""Examples with labels: what classifiers are trained on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor


class Examples(NamedTuple):
    """Inputs ``(n, features)`` in float32 and the number of the class of each, ``(n,)`` in int64."""

    x: Tensor
    y: Tensor


class Labelled(ABC):
    """A classification problem.

    Attributes:
        in_features: Numbers in one input.
        classes: Number of classes.
    """

    in_features: int
    classes: int

    @abstractmethod
    def splits(self) -> dict[str, Examples]:
        """``train``, ``val`` and ``test``, of which none shares an example with another."""
