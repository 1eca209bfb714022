"""The eight symmetries of a square, for scalar fields on grids: two reflections and the exchange of the axes.

Right for a law of fields that has them. Components of vectors would turn with the grid; this is for scalars.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

Element = tuple[bool, ...]  # whether rows are reflected, columns reflected, the axes exchanged, in this order
ELEMENTS: tuple[Element, ...] = tuple(product((False, True), repeat=3))


def dihedral(u: Tensor, chosen: Tensor, *, closed: bool) -> Tensor:
    """Fields changed by what was chosen for each of them.

    Args:
        u: Fields ``(n, *rest, points, points, channels)``.
        chosen: Whether to reflect the rows, reflect the columns, exchange them, in this order, ``(n, 3)`` booleans.
        closed: The axes close; a reflection then keeps their point 0 in place.
    """
    for number, change in enumerate(_changes(closed)):
        u = torch.where(chosen[:, number].reshape(-1, *[1] * (u.ndim - 1)), change(u), u)
    return u


def image(u: Tensor, element: Element, *, closed: bool) -> Tensor:
    """All fields changed alike: as :func:`dihedral` with this choice for each."""
    for chosen, change in zip(element, _changes(closed), strict=True):
        u = change(u) if chosen else u
    return u.contiguous()


def inverse(element: Element) -> Element:
    """What undoes two reflections followed by an exchange: the exchange, then what it made of the reflections."""
    rows, columns, exchanged = element
    return (columns, rows, True) if exchanged else element


def _changes(closed: bool) -> tuple[Callable[[Tensor], Tensor], ...]:
    rows, columns = -3, -2

    def reflected(v: Tensor, axis: int) -> Tensor:
        return v.flip(axis).roll(1, axis) if closed else v.flip(axis)

    return lambda v: reflected(v, rows), lambda v: reflected(v, columns), lambda v: v.transpose(rows, columns)
