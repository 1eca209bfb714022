"""Which channels a set of differential operators needs in Taylor mode, and how each arises from the others.

The rules are those of :mod:`sciml.taylor`, which carries the channels through a network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sciml.equation.operator import Index, Operator

MAX_ORDER = 4


@dataclass(frozen=True)
class Rule:
    """How one channel arises from others in nonlinear functions.

    Attributes:
        pairs: (γ, M): blocks of two sizes; each adds φ'' (∂^γ z) (M z), and M is a sum over channels.
        equal: (β, γ, c): two blocks of the same size; each adds c φ'' (∂^β z) (∂^γ z).
        more: (blocks, c): three or more blocks; each adds c φ^(number of blocks) times their product.
    """

    pairs: tuple[tuple[int, tuple[tuple[int, float], ...]], ...]
    equal: tuple[tuple[int, int, float], ...]
    more: tuple[tuple[tuple[int, ...], float], ...]


class Plan:
    """The channels that a set of operators needs, and the rules between them.

    Args:
        operators: What is asked for, of order 1 to 4, none with a constant term.

    Attributes:
        channels: The operators that are carried.
        outputs: For each operator asked for, what it is as a sum over channels: (channel, coefficient).
        order: Highest order of any channel.

    Raises:
        ValueError: An operator of order 0 or above 4, or with a constant term.
    """

    def __init__(self, operators: Sequence[Operator]) -> None:
        for operator in operators:
            if not 1 <= operator.order <= MAX_ORDER or () in operator.terms:
                raise ValueError(f"{operator} must have order 1 to {MAX_ORDER} and no constant term")
        whole = frozenset(_normal(operator)[0] for operator in operators)
        spanned: frozenset[Operator] = frozenset()
        while True:  # a sum of partial derivatives that are channels anyway needs none of its own
            roots = [part for one in whole for part in (_parts(one) if one in spanned else [one])]
            channels = _closure(roots, spanned)
            single = {axes for one in channels if len(one.terms) == 1 for axes in one.terms}
            found = {one for one in channels | whole if len(one.terms) > 1 and set(one.terms) <= single}
            if found <= spanned:
                break
            spanned |= found
        self.channels = tuple(sorted(channels, key=lambda one: (one.order, tuple(one.terms.items()))))
        self.order = max((one.order for one in self.channels), default=0)
        self._index = {one: i for i, one in enumerate(self.channels)}
        self.outputs = tuple(self._sum(operator) for operator in operators)
        self.rules = tuple(self._rule(one) for one in self.channels)

    def _sum(self, operator: Operator) -> tuple[tuple[int, float], ...]:
        normal, scale = _normal(operator)
        if normal in self._index:
            return ((self._index[normal], scale),)
        return tuple((self._index[Operator({axes: 1.0})], c) for axes, c in operator.terms.items())

    def _rule(self, operator: Operator) -> Rule:
        grouped, equal, more = _blocks(operator)
        one = lambda axes: self._index[Operator({axes: 1.0})]  # noqa: E731
        return Rule(
            tuple((one(axes), self._sum(partner)) for axes, partner in grouped.items()),
            tuple((one(a), one(b), c) for (a, b), c in equal.items()),
            tuple((tuple(map(one, blocks)), c) for blocks, c in more.items()),
        )


def _normal(operator: Operator) -> tuple[Operator, float]:
    """The multiple of an operator whose first coefficient is 1, and the factor taken out."""
    scale = next(iter(operator.terms.values()))
    return (operator if scale == 1 else operator * (1 / scale)), scale


def _parts(operator: Operator) -> list[Operator]:
    return [Operator({axes: 1.0}) for axes in operator.terms]


def _closure(operators: Iterable[Operator], spanned: frozenset[Operator] = frozenset()) -> frozenset[Operator]:
    """The operators and all channels that their rules read."""
    found: set[Operator] = set()
    waiting = list(operators)
    while waiting:
        operator = waiting.pop()
        if operator in found:
            continue
        found.add(operator)
        grouped, equal, more = _blocks(operator)
        blocks = {*grouped, *(axes for pair in equal for axes in pair), *(axes for some in more for axes in some)}
        waiting += [Operator({axes: 1.0}) for axes in blocks]
        for partner in grouped.values():
            normal = _normal(partner)[0]
            waiting += _parts(normal) if normal in spanned else [normal]
    return frozenset(found)


def _blocks(
    operator: Operator,
) -> tuple[dict[Index, Operator], dict[tuple[Index, Index], float], dict[tuple[Index, ...], float]]:
    """Partitions of all terms into two or more blocks: unequal pairs by their smaller block, equal pairs, others."""
    grouped: dict[Index, dict[Index, float]] = {}
    equal: dict[tuple[Index, Index], float] = {}
    more: dict[tuple[Index, ...], float] = {}
    for axes, coefficient in operator.terms.items():
        for partition in _partitions(axes):
            blocks = tuple(sorted((tuple(sorted(block)) for block in partition), key=lambda b: (len(b), b)))
            if len(blocks) == 2 and len(blocks[0]) < len(blocks[1]):
                partner = grouped.setdefault(blocks[0], {})
                partner[blocks[1]] = partner.get(blocks[1], 0.0) + coefficient
            elif len(blocks) == 2:
                equal[blocks[0], blocks[1]] = equal.get((blocks[0], blocks[1]), 0.0) + coefficient
            elif len(blocks) > 2:
                more[blocks] = more.get(blocks, 0.0) + coefficient
    return (
        {axes: one for axes, terms in grouped.items() if (one := Operator(terms)).terms},
        {pair: c for pair, c in equal.items() if c},
        {some: c for some, c in more.items() if c},
    )


def _partitions(items: Sequence[int]) -> list[list[list[int]]]:
    """All set partitions of a sequence, its items told apart by their places."""
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    found: list[list[list[int]]] = []
    for partition in _partitions(rest):
        found.append([[first], *partition])
        found += [[*partition[:i], [first, *block], *partition[i + 1 :]] for i, block in enumerate(partition)]
    return found
