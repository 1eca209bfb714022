"""The contracts of the operator family: dataset and rollout.

Fields are channels last, ``(n, *grid, channels)``; a trajectory has its frames after the examples,
``(n, steps, *grid, channels)``. A network maps fields to fields on whatever grid they come.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from sciml.errors import RunError

FieldMap = Callable[[Tensor], Tensor]


class Fields(NamedTuple):
    """One split of a dataset.

    ``input`` ``(n, *grid, in_channels)`` is what a network is given, ``target``
    ``(n, steps, *grid, out_channels)`` the one or more states that follow, in physical units.
    """

    input: Tensor
    target: Tensor


class Dataset(ABC):
    """Seeded fields: the same object with the same parameters always gives the same numbers.

    Attributes:
        in_channels: Channels of an input; of several past frames, the oldest comes first.
        out_channels: Channels of one state.
        grid: Grid points along each axis of the training fields.
    """

    in_channels: int
    out_channels: int
    grid: tuple[int, ...]

    @abstractmethod
    def splits(self) -> dict[str, Fields]:
        """``train``, ``val``, ``test``, and any number of further tests named ``test_<what is different>``.

        A further test may have another grid. All are float32 and disjoint in their randomness.
        """

    def reference(self, u: Tensor) -> Tensor:
        """The state after an input, by the solver that made the data; ``(n, *grid, ...)`` as in :class:`Fields`.

        Raises:
            RunError: The data come from elsewhere.
        """
        raise RunError(f"dataset {type(self).__name__} has no solver, so it has no exact row")


class Rollout(ABC):
    """Makes a trajectory out of a network, in training and in tests."""

    @abstractmethod
    def __call__(self, network: FieldMap, u0: Tensor, steps: int) -> Tensor:
        """Predicted states.

        Args:
            network: Physical fields to physical fields.
            u0: Inputs ``(n, *grid, in_channels)``.
            steps: Number of states, at least 1.

        Returns:
            ``(n, steps, *grid, out_channels)``.
        """
