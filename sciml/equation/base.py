"""What a partial differential equation is to the rest of the package: one file with residual and reference.

Learned methods use the residual, tables and data sets use the reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from torch import Tensor


class Field(Protocol):
    """A function u: R^d -> R^m that can be differentiated along directions."""

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, m) at points (n, d)."""
        ...

    def directional(self, x: Tensor, direction: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, m) and derivatives (n, m) of u along ``direction``, (d,) or one a point (n, d)."""
        ...


class Equation(ABC):
    """An evolution equation on the box [lower, upper]; the first input is time.

    Attributes:
        inputs: Names of the inputs, time first, for instance ``("t", "x")``.
        outputs: Names of the unknowns.
        lower: Lower corner of the domain, one number an input.
        upper: Upper corner of the domain.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    @abstractmethod
    def residual(self, field: Field, x: Tensor) -> Tensor:
        """What the equation leaves at points ``x`` (n, d): (n, number of equations), zero for a solution."""

    @abstractmethod
    def initial(self, x: Tensor) -> Tensor:
        """Initial values (n, m) at points ``x`` (n, d), whose time is not looked at; dtype of ``x``."""

    @abstractmethod
    def reference(self, x: Tensor) -> Tensor:
        """The solution (n, m) at points ``x`` (n, d) in float64, differentiable in ``x`` by autograd."""
