"""The eight symmetries of a square, for scalar fields on grids: two reflections and the exchange of the axes.

Right for a law of fields that has them. Components of vectors would turn with the grid; this is for scalars.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dihedral(u: Tensor, chosen: Tensor, *, closed: bool) -> Tensor:
    """Fields changed by what was chosen for each of them.

    Args:
        u: Fields ``(n, *rest, points, points, channels)``.
        chosen: Whether to reflect the rows, reflect the columns, exchange them, in this order, ``(n, 3)`` booleans.
        closed: The axes close; a reflection then keeps their point 0 in place.
    """
    rows, columns = u.ndim - 3, u.ndim - 2

    def reflected(v: Tensor, axis: int) -> Tensor:
        return v.flip(axis).roll(1, axis) if closed else v.flip(axis)

    for number, change in enumerate(
        (lambda v: reflected(v, rows), lambda v: reflected(v, columns), lambda v: v.transpose(rows, columns))
    ):
        u = torch.where(chosen[:, number].reshape(-1, *[1] * (u.ndim - 1)), change(u), u)
    return u
