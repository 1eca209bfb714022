"""The contracts of the operator family: dataset, rollout, loss and augmentation (:mod:`.stepper.base` has the stepper).

Fields are channels last, ``(n, *grid, channels)``; a trajectory has its frames after the examples,
``(n, steps, *grid, channels)``. A network maps fields to fields on whatever grid they come. Point clouds have one axis
in place of a grid, and their positions as the last channels of an input, where grids have theirs too when
``operator.positions`` is set: a network reads both alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple, final

import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError

FieldMap = Callable[[Tensor], Tensor]


class Fields(NamedTuple):
    """Examples as tensors.

    ``input`` ``(n, *grid, in_channels)`` is what a network is given, ``target`` ``(n, steps, *grid, out_channels)`` the
    one or more states that follow, in physical units.
    """

    input: Tensor
    target: Tensor


class Lazy(ABC):
    """Examples that are made, or read from a file, when they are asked for.

    Attributes:
        shape: What the whole would have as a tensor, ``(n, ...)``.
    """

    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Float32 examples along the first axis; an index tensor is one-dimensional, on the CPU, in any order."""


Array = Tensor | Lazy


class Split(NamedTuple):
    """One split of a dataset, in memory or not; see :class:`Fields` for what its two parts are."""

    input: Array
    target: Array

    @property
    def n(self) -> int:
        """Number of examples."""
        return len(self.input)

    @property
    def steps(self) -> int:
        """States that follow an input."""
        return self.target.shape[1]

    def take(self, index: slice | Tensor, device: torch.device | None = None) -> Fields:
        """The examples of an index, on a device; by default each where it lies."""
        return Fields(_take(self.input, index, device), _take(self.target, index, device))

    def batches(self, size: int, device: torch.device | None = None) -> Iterator[Fields]:
        """All examples in order, ``size`` at a time."""
        return (self.take(slice(first, first + size), device) for first in range(0, self.n, size))

    def whole(self) -> Fields:
        """All examples as two tensors."""
        return self.take(slice(None))

    def to(self, device: torch.device) -> Split:
        """What lies in memory moves to the device and stays there."""
        return Split(*(part.to(device) if isinstance(part, Tensor) else part for part in self))


def _take(array: Array, index: slice | Tensor, device: torch.device | None) -> Tensor:
    if isinstance(array, Tensor) and isinstance(index, Tensor):
        index = index.to(array.device)
    found = array[index]
    return found if device is None else found.to(device)


class Dataset(ABC):
    """Seeded fields: the same object with the same parameters always gives the same numbers.

    Attributes:
        in_channels: Channels of an input; of several past frames, the oldest comes first.
        out_channels: Channels of one state.
        grid: Grid points along each axis of the training fields.
        periodic: For each axis, whether it closes: its points are then i/n of its length, else i/(n - 1).
        dt: Time between two states; None for a map that is no evolution, or where it is not known.
    """

    in_channels: int
    out_channels: int
    grid: tuple[int, ...]
    periodic: tuple[bool, ...]
    dt: float | None = None

    @abstractmethod
    def splits(self) -> dict[str, Split]:
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
    r"""How training unrolls a network. A test always feeds every prediction back in:

    :math:`u_{k+1} = G(u_{k-h+1}, \dots, u_k)` with h past frames in the input, as in Li et al. (2021), *Fourier Neural
    Operator for Parametric Partial Differential Equations*, section 5.3; for one step it is the network itself.
    """

    @final
    def __call__(self, network: FieldMap, u0: Tensor, steps: int) -> Tensor:
        """Predicted states.

        Args:
            network: Physical fields to physical fields.
            u0: Inputs ``(n, *grid, in_channels)``.
            steps: Number of states, at least 1.

        Returns:
            ``(n, steps, *grid, out_channels)``.

        Raises:
            RunError: The output cannot be fed back: the input does not hold whole states.
        """
        states, window = [], u0
        for k in range(steps):
            state = network(window)
            states.append(state)
            if k + 1 < steps:
                window = feed(window, state)
        return torch.stack(states, dim=1)

    @abstractmethod
    def train(self, network: FieldMap, u0: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What a loss compares.

        Args:
            network: As in :meth:`__call__`; gradients are taken through it.
            u0: Inputs ``(n, *grid, in_channels)``.
            target: True states that follow, ``(n, steps, *grid, out_channels)``.

        Returns:
            Predicted states, and the true ones they stand for; both ``(n, some steps, *grid, out_channels)``.
        """


def feed(window: Tensor, state: Tensor) -> Tensor:
    """The newest state takes the place of the oldest frame of a window.

    Raises:
        RunError: The window does not hold whole states.
    """
    channels = state.shape[-1]
    if window.shape[-1] % channels:
        raise RunError(
            f"an input of {window.shape[-1]} channels does not hold whole states of {channels}, so the output"
            " cannot be fed back; train and test this dataset with one step"
        )
    return torch.cat([window[..., channels:], state], dim=-1)


class Loss(ABC):
    """What training minimises, a mean over examples; differentiable."""

    @abstractmethod
    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Scalar of states ``(n, steps, *grid, channels)`` in physical units."""


class Augmentation(ABC):
    """Symmetries of a problem, applied at random to the examples of a batch.

    Attributes:
        numbers: How many uniform random numbers an example takes.
    """

    numbers: ClassVar[int]

    @abstractmethod
    def __call__(self, fields: Fields, uniform: Tensor) -> Fields:
        """Transformed examples.

        Args:
            fields: Examples.
            uniform: In [0, 1), ``(n, numbers)``.

        Raises:
            ConfigError: The grid does not have the symmetry.
        """

    def averaged(self, start: Callable[[], FieldMap]) -> FieldMap:
        """What predicts in validation and tests, for one batch of trajectories.

        Args:
            start: Gives the network's own predictor, which may remember what it has seen.
        """
        return start()


def check_states(dataset: Dataset, who: str) -> None:
    """Refuse inputs that do not end in a state.

    Args:
        dataset: Whose inputs.
        who: Needs them, for the message.

    Raises:
        ConfigError: They have not the channels.
    """
    if dataset.in_channels % dataset.out_channels:
        raise ConfigError(
            f"{who} needs inputs that hold whole states; {type(dataset).__name__} has {dataset.in_channels} input and"
            f" {dataset.out_channels} output channels"
        )
