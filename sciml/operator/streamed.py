"""Windows of trajectories as examples: h frames in, the k that follow out; from memory or from a file.

A trajectory of T frames has T - (h + k - 1) s windows with s frames from one to the next. None of them is stored: the
frames of a batch are gathered when it is asked for, once for its inputs and its targets, so that windows need no more
memory than the trajectories, and no memory at all if those lie in a file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.operator.base import Lazy
from sciml.operator.memory import selected
from sciml.operator.source.base import Array, Index


class Trajectories(ABC):
    """Frames of many samples.

    Attributes:
        shape: ``(n, times, *grid, channels)``.
    """

    shape: tuple[int, ...]

    @abstractmethod
    def take(self, samples: np.ndarray, starts: np.ndarray, frames: int, stride: int) -> Tensor:
        """``(m, frames, *grid, channels)``: of each of m samples the frame it starts at and every ``stride``-th."""


@final
class Resident(Trajectories):
    """In memory.

    Args:
        states: ``(n, times, *grid, channels)``, contiguous.
    """

    def __init__(self, states: Tensor) -> None:
        self.shape = tuple(states.shape)
        self.rows = states.view(self.shape[0] * self.shape[1], -1)

    def take(self, samples: np.ndarray, starts: np.ndarray, frames: int, stride: int) -> Tensor:
        rows = (samples * self.shape[1] + starts)[:, None] + np.arange(frames) * stride
        found = self.rows.index_select(0, torch.from_numpy(rows.reshape(-1)))
        return found.view(len(samples), frames, *self.shape[2:])


@final
class Streamed(Trajectories):
    """In a file that stays open: what windows of one sample share is read once, and neighbouring samples together.

    Args:
        array: ``(n, times, *grid, channels)``.
        samples: Those to use.
        space: A slice for each axis of the grid.
    """

    def __init__(self, array: Array, samples: range, space: Index) -> None:
        self.array, self.samples, self.space = array, samples, space
        grid = (selected(size, part) for size, part in zip(array.shape[2:], space, strict=False))
        self.shape = (len(samples), array.shape[1], *grid, array.shape[-1])

    def take(self, samples: np.ndarray, starts: np.ndarray, frames: int, stride: int) -> Tensor:
        found = torch.empty(len(samples), frames, *self.shape[2:])
        reach = (frames - 1) * stride + 1
        order = np.lexsort((starts, samples))
        for members, last in _blocks(samples, starts, order, reach):
            i, t = samples[members], starts[members]
            step = stride if (t == t[0]).all() else 1
            window = slice(int(t.min()), int(t.max()) + reach, step)
            rows = slice(self.samples.start + int(i[0]), self.samples.start + last + 1)
            values = torch.as_tensor(self.array[(rows, window, *self.space)])
            times = ((t - t.min())[:, None] + np.arange(frames) * stride) // step
            found[members] = values[torch.from_numpy(i - i[0])[:, None], torch.from_numpy(times)]
        return found


def _blocks(samples: np.ndarray, starts: np.ndarray, order: np.ndarray, reach: int) -> Iterator[tuple[np.ndarray, int]]:
    """Positions in a batch that one read serves, and the last sample it reads.

    Windows of one sample go together if they touch, and samples that follow one another if they have one and the same
    window each.
    """
    first = 0
    for k in range(1, len(order) + 1):
        if k < len(order):
            before, here = order[k - 1], order[k]
            same = samples[here] == samples[before]
            touch = same and starts[here] <= starts[before] + reach
            block = order[first:k]
            single = (starts[block] == starts[here]).all()
            if (touch and samples[order[first]] == samples[here]) or (
                single and (same or samples[here] == samples[before] + 1)
            ):
                continue
        yield order[first:k], int(samples[order[k - 1]])
        first = k


@final
class Windows:
    """All windows of some trajectories, sample by sample.

    Args:
        trajectories: Where the frames are.
        history: Frames of an input.
        steps: Frames of a target.
        stride: Frames from one to the next.
        every: Frames between the starts of two windows of a sample.
        count: Windows of a sample.
    """

    def __init__(
        self, trajectories: Trajectories, *, history: int, steps: int, stride: int = 1, every: int = 1, count: int = 1
    ) -> None:
        self.trajectories, self.history, self.steps = trajectories, history, steps
        self.stride, self.every, self.count = stride, every, count
        self.n = trajectories.shape[0] * count
        self._last: tuple[slice | Tensor, Tensor] | None = None

    def frames(self, index: slice | Tensor) -> Tensor:
        """``(m, history + steps, *grid, channels)``. Asked twice in a row for the same index, it gathers once."""
        if self._last is None or not _same(self._last[0], index):
            which = np.arange(self.n)[index] if isinstance(index, slice) else index.numpy()
            samples, window = np.divmod(which, self.count)
            frames = self.history + self.steps
            self._last = (index, self.trajectories.take(samples, window * self.every, frames, self.stride))
            return self._last[1]
        found, self._last = self._last[1], None  # inputs and targets are all that there is to ask for
        return found


def _same(a: slice | Tensor, b: slice | Tensor) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a is b or torch.equal(a, b)
    return not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b


@final
class Inputs(Lazy):
    """The first frames of every window as channels, the oldest first.

    Args:
        windows: Those with their targets.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        *grid, channels = windows.trajectories.shape[2:]
        self.shape = (windows.n, *grid, windows.history * channels)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        return as_channels(self.windows.frames(index)[:, : self.windows.history])


@final
class Targets(Lazy):
    """The frames that follow in every window.

    Args:
        windows: Those with their inputs.
    """

    def __init__(self, windows: Windows) -> None:
        self.windows = windows
        self.shape = (windows.n, windows.steps, *windows.trajectories.shape[2:])

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        return self.windows.frames(index)[:, self.windows.history :]


def as_channels(frames: Tensor) -> Tensor:
    """``(n, frames, *grid, channels)`` to ``(n, *grid, frames * channels)``."""
    return frames.movedim(1, -2).flatten(-2)
