"""What one split takes of a recording, as tensors in memory or as examples that are read when they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np

from sciml.errors import ConfigError
from sciml.operator.base import Split
from sciml.operator.memory import load, selected
from sciml.operator.source.base import Array, Index, Recording
from sciml.operator.streamed import Inputs, Resident, Streamed, Targets, Trajectories, Windows, as_channels


@final
@dataclass(frozen=True)
class Part:
    """Some samples, the windows of each, and the grid points.

    Attributes:
        recording: Where they come from.
        samples: Neighbours in it.
        space: A slice for each axis of the grid.
        history: Frames of an input; 0 for the coefficients.
        steps: Frames of a target.
        stride: Frames from one to the next.
        every: Frames between the starts of two windows.
        count: Windows of a sample.
    """

    recording: Recording
    samples: range
    space: Index
    history: int = 0
    steps: int = 1
    stride: int = 1
    every: int = 1
    count: int = 1

    def bytes(self) -> int:
        """What :meth:`resident` takes."""
        states, points = self.recording.states, math.prod(grid_of(self.recording, self.space))
        if not self.history:
            channels = input_of(self.recording, 0).shape[-1] + states.shape[-1]
        elif self.count > 1:
            channels = states.shape[1] * states.shape[-1]
        else:  # several frames of an input stand side by side as channels, which is a copy
            copied = self.history if self.history > 1 else 0
            channels = (self.history + self.steps + copied) * states.shape[-1]
        return 4 * len(self.samples) * points * channels

    def resident(self) -> Split:
        """Read now, whole; what is given back needs the recording no more. Windows that overlap share their frames."""
        samples, states = slice(self.samples.start, self.samples.stop), self.recording.states
        if not self.history:
            coefficients = load(input_of(self.recording, 0), (samples, *self.space))
            return Split(coefficients, load(states, (samples, slice(None), *self.space)))
        if self.count > 1:
            return self._windows(Resident(load(states, (samples, slice(None), *self.space))))
        frames = slice(0, (self.history + self.steps - 1) * self.stride + 1, self.stride)
        window = load(states, (samples, frames, *self.space))
        return Split(as_channels(window[:, : self.history]), window[:, self.history :])

    def streamed(self) -> Split:
        """Read when it is asked for; the recording has to stay open."""
        states = Streamed(self.recording.states, self.samples, self.space)
        if self.history:
            return self._windows(states)
        given = Streamed(_Once(input_of(self.recording, 0)), self.samples, self.space)
        return Split(Inputs(Windows(given, history=1, steps=0)), Targets(Windows(states, history=0, steps=1)))

    def _windows(self, trajectories: Trajectories) -> Split:
        windows = Windows(
            trajectories,
            history=self.history,
            steps=self.steps,
            stride=self.stride,
            every=self.every,
            count=self.count,
        )
        return Split(Inputs(windows), Targets(windows))


@final
class _Once:
    """Coefficients ``(n, *grid, channels)`` as trajectories of one frame."""

    def __init__(self, array: Array) -> None:
        self.array, self.shape = array, (array.shape[0], 1, *array.shape[1:])

    def __getitem__(self, index: Index) -> np.ndarray:
        return self.array[(index[0], *index[2:])][:, np.newaxis]


def input_of(recording: Recording, history: int) -> Array:
    """What inputs are made of: states, or with ``history`` 0 the coefficients of a steady problem.

    Raises:
        ConfigError: It has none, or is not steady.
    """
    times = recording.states.shape[1]
    if history:
        return recording.states
    if recording.coefficients is None:
        raise ConfigError(
            f"operator.dataset.history is 0, but {recording.name} has no coefficients; with operator.dataset.history=1"
            " each state is predicted from the one before"
        )
    if times != 1:
        raise ConfigError(
            f"operator.dataset.history is 0, which is for steady problems: {recording.name} has {times} frames"
        )
    return recording.coefficients


def grid_of(recording: Recording, space: Index) -> tuple[int, ...]:
    """Points that are left along each axis."""
    return tuple(selected(size, part) for size, part in zip(recording.states.shape[2:-1], space, strict=True))
