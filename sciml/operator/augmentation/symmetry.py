r"""Symmetries of scalar fields on grids, applied to inputs and targets alike.

A problem must have the symmetry for this to be right: Darcy's equation with a constant right-hand side on a square has
all eight of D4, an equation on a torus without a fixed forcing all shifts. Components of vectors would turn with the
grid; these transformations are for scalars.

A network trained so has the symmetry only nearly. The mean of its predictions over the group,

.. math:: \bar G(u) = \frac{1}{|D_4|} \sum_{g \in D_4} g^{-1}\, G(g\, u) ,

has it exactly, and no larger error in the mean over the group for any norm that the group leaves unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Tensor

from sciml.data.dihedral import ELEMENTS, dihedral, image, inverse
from sciml.errors import ConfigError
from sciml.operator.base import Augmentation, FieldMap, Fields


@final
class D4(Augmentation):
    """The eight symmetries of a square: two reflections and the exchange of the axes, each with probability 1/2.

    Args:
        periodic: Which axes close; a reflection keeps their point 0 in place.
        average: Validation and tests take the mean over all eight of what is predicted, at eight times the cost.

    Raises:
        ConfigError: There are not two alike axes.
    """

    numbers: ClassVar[int] = 3

    def __init__(self, periodic: tuple[bool, ...], *, average: bool = False) -> None:
        if len(periodic) != 2 or periodic[0] != periodic[1]:
            raise ConfigError(f"operator.augmentation d4 needs two alike axes; the dataset has periodic = {periodic}")
        self.closed, self.average = periodic[0], average

    def __call__(self, fields: Fields, uniform: Tensor) -> Fields:
        self._check(fields.input)
        chosen = (uniform < 0.5).to(fields.input.device)
        return Fields(*(dihedral(u, chosen, closed=self.closed) for u in fields))

    def averaged(self, start: Callable[[], FieldMap]) -> FieldMap:
        if not self.average:
            return start()
        elements = [(element, start()) for element in ELEMENTS]

        def predict(u: Tensor) -> Tensor:
            self._check(u)
            closed = self.closed
            images = (
                image(predictor(image(u, g, closed=closed)), inverse(g), closed=closed) for g, predictor in elements
            )
            return sum(images, torch.zeros(())) / len(elements)

        return predict

    def _check(self, u: Tensor) -> None:
        if u.shape[1] != u.shape[2]:
            raise ConfigError(f"operator.augmentation d4 needs a square grid; the dataset has {tuple(u.shape[1:3])}")


@final
class Shift(Augmentation):
    """A shift by a whole number of points along every axis that closes.

    Args:
        periodic: Which axes close.

    Raises:
        ConfigError: None does.
    """

    numbers: ClassVar[int] = 3  # one for each axis that there may be

    def __init__(self, periodic: tuple[bool, ...]) -> None:
        if not any(periodic) or len(periodic) > self.numbers:
            raise ConfigError(
                "operator.augmentation shift needs a dataset with a periodic axis, and at most three axes"
            )
        self.periodic = periodic

    def __call__(self, fields: Fields, uniform: Tensor) -> Fields:
        return Fields(*(self._apply(u, uniform) for u in fields))

    def _apply(self, u: Tensor, uniform: Tensor) -> Tensor:
        first = u.ndim - 1 - len(self.periodic)
        for number, (axis, closed) in enumerate(enumerate(self.periodic, start=first)):
            if closed:
                n = u.shape[axis]
                by = (uniform[:, number] * n).long().to(u.device)
                index = (torch.arange(n, device=u.device) - by[:, None]) % n
                index = index.reshape(len(u), *[n if i == axis else 1 for i in range(1, u.ndim)])
                u = u.gather(axis, index.expand(u.shape))
        return u
