r"""Linear differential operators with constant coefficients, L = Σ_α c_α ∂^α, written as polynomials in ∂.

An equation names what it needs of its unknown and leaves to the field how to get it::

    t, x, y = partials(3)
    u, u_t, lap = field.derivatives(points, t, x**2 + y**2)

An operator is asked for as a whole: the Laplacian is one thing, not d second derivatives, and ∂/∂t + β ∂/∂x is one
directional derivative. What that saves is in :mod:`sciml.taylor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType

Index = tuple[int, ...]  # the axes that a partial derivative differentiates along, sorted: (0, 1, 1) is ∂_0 ∂_1²


class Operator:
    """A polynomial in the partial derivatives; immutable and hashable.

    Args:
        terms: Coefficient of each partial derivative, by the axes it differentiates along; ``()`` is the identity.

    Attributes:
        terms: The same without zeros, the axes sorted.
        order: Highest order of a term; 0 for the zero operator.
    """

    def __init__(self, terms: Mapping[Index, float]) -> None:
        found: dict[Index, float] = {}
        for axes, coefficient in terms.items():
            key = tuple(sorted(axes))
            found[key] = found.get(key, 0.0) + float(coefficient)
        kept = {axes: found[axes] for axes in sorted(found, key=lambda axes: (len(axes), axes)) if found[axes] != 0}
        self.terms: Mapping[Index, float] = MappingProxyType(kept)
        self.order = max(map(len, kept), default=0)

    @cached_property
    def _key(self) -> tuple[tuple[Index, float], ...]:
        return tuple(self.terms.items())

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Operator) and self._key == other._key

    def __add__(self, other: Operator) -> Operator:
        return Operator(
            {axes: self.terms.get(axes, 0.0) + other.terms.get(axes, 0.0) for axes in {**self.terms, **other.terms}}
        )

    def __sub__(self, other: Operator) -> Operator:
        return self + -1.0 * other

    def __neg__(self) -> Operator:
        return -1.0 * self

    def __mul__(self, other: Operator | float) -> Operator:
        """Composition with another operator, or a multiple."""
        if not isinstance(other, Operator):
            return Operator({axes: other * coefficient for axes, coefficient in self.terms.items()})
        found: dict[Index, float] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                key = tuple(sorted(left + right))
                found[key] = found.get(key, 0.0) + a * b
        return Operator(found)

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> Operator:
        power = IDENTITY
        for _ in range(exponent):
            power = power * self
        return power

    def __repr__(self) -> str:
        words = [f"{c:g} ∂{''.join(map(str, axes))}" if axes else f"{c:g}" for axes, c in self.terms.items()]
        return f"Operator({' + '.join(words) or '0'})"


IDENTITY = Operator({(): 1.0})


def partials(n: int) -> tuple[Operator, ...]:
    """The ``n`` first partial derivatives, one an input of the unknown."""
    return tuple(Operator({(axis,): 1.0}) for axis in range(n))


def laplacian(*axes: Operator) -> Operator:
    """The sum of the squares of ``axes``, for instance of the space directions without time."""
    return sum((axis**2 for axis in axes), start=Operator({}))
