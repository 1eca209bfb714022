"""Fields that were computed before: examples out of recordings, whatever they come from.

A *source* (:mod:`sciml.operator.source.base`) has samples with frames in time, or solutions with what they were
computed from. Here it is decided which samples are for training, which frames make an example, and on which grid:

* Samples: the first ``n_train`` are for training, the last ``n_test`` for the test, the ``n_val`` before those for
  validation, so that training on fewer leaves the others what they were. Validation and further tests may have sources
  of their own.
* Frames: an example is ``history`` frames and the ``steps`` that follow, ``time_stride`` frames apart. Training takes
  all windows of a trajectory, validation those whose targets do not overlap, a test the first one with ``test_steps``
  frames to predict. With ``history`` 0 an example is the coefficients of a steady problem and its solution.
* Grid: every ``stride``-th point. An axis that closes must be divided by it, one with both ends must keep both:
  anything else would be another domain, or another spacing at its end. ``fine_stride`` adds ``test_fine``, the same
  test samples with every ``fine_stride``-th point.

What fits into memory is read once, at the start; what does not is read window by window as it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, final

import numpy as np
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.operator.base import Dataset, Split
from sciml.operator.memory import available
from sciml.operator.part import Part, grid_of, input_of
from sciml.operator.source.base import Index, Recording, Source
from sciml.ranges import Count, Fraction, Natural


@final
class Recorded(Dataset):
    """Examples out of one recording or several.

    Args:
        source: Samples for training, and for validation and test as far as those have no source of their own.
        n_train: Samples for training; null for all that are left.
        n_val: Samples for validation; null for all of ``val``.
        n_test: Samples of each test; null for all of each of ``tests``, if one of them is ``test``.
        val: Where the validation samples come from instead.
        tests: Tests with sources of their own by name, ``test`` or ``test_<what is different>``.
        history: Frames of an input; 0 for the coefficients.
        steps: Frames of a target in training and validation.
        test_steps: Frames of a target in tests; null for ``steps``.
        time_stride: Frames from one to the next.
        window_stride: Frames between the starts of two training windows of a sample.
        stride: Grid points from one to the next.
        fine_stride: The same in ``test_fine``; null for no such test.
        in_memory: Whether all is read at the start; ``auto``: if it fits.
        memory_share: Part of the free memory into which it has to fit.

    Raises:
        ConfigError: The recording has not what is asked of it.
        UsageError, RunError: As :meth:`Source.read`.
    """

    def __init__(
        self,
        *,
        source: Source,
        n_train: Count | None,
        n_val: Count | None,
        n_test: Count | None,
        val: Source | None = None,
        tests: Mapping[str, Source] | None = None,
        history: Natural = 1,
        steps: Count = 1,
        test_steps: Count | None = None,
        time_stride: Count = 1,
        window_stride: Count = 1,
        stride: Count = 1,
        fine_stride: Count | None = None,
        in_memory: Literal["auto"] | bool = "auto",
        memory_share: Fraction = 0.5,
    ) -> None:
        self.source, self.val, self.tests = source, val, dict(tests or {})
        self.n_train, self.n_val, self.n_test = n_train, n_val, n_test
        self.history, self.steps, self.test_steps = history, steps, test_steps or steps
        self.time_stride, self.window_stride = time_stride, window_stride
        self.stride, self.fine_stride = stride, fine_stride
        self.in_memory, self.memory_share = in_memory, memory_share
        self._check_tests()
        self._opened: Recording | None = source.read()
        try:
            self._describe(self._opened)
        except BaseException:
            self._opened.close()
            raise

    def _describe(self, recording: Recording) -> None:
        """What is known without reading numbers, and refused if it does not go together."""
        self._kind = _kind(recording, self.history)
        self.periodic = recording.periodic
        coarse = self._space(recording, self.stride, "stride")
        if self.fine_stride is not None:
            self._space(recording, self.fine_stride, "fine_stride")
        self.grid = grid_of(recording, coarse)
        self.out_channels = recording.states.shape[-1]
        self.in_channels = input_of(recording, self.history).shape[-1] * max(self.history, 1)
        self.dt = _spacing(recording.times, self.time_stride) if self.history else None
        self._sizes(recording)
        self._part(recording, range(1), coarse, self.steps)

    def _check_tests(self) -> None:
        for name in self.tests:
            if name != "test" and not name.startswith("test_"):
                raise ConfigError(f"operator.dataset.tests.{name}: a test is called test or test_<what is different>")
        if self.n_test is None and "test" not in self.tests:
            raise ConfigError("operator.dataset.n_test: how many samples of the source? null is for all of tests.test")
        if self.fine_stride is not None and {"test", "test_fine"} & set(self.tests):
            raise ConfigError(
                "operator.dataset.fine_stride: the test samples of the source once more, as test_fine; it goes neither"
                " with tests.test nor with tests.test_fine"
            )

    def reference(self, u: Tensor) -> Tensor:
        if self.stride > 1 or (self.history and self.dt is None):
            raise RunError("what follows is known only on all points of the source, and of states in time")
        return self.source.advance(u[..., -self.out_channels :] if self.history else u, self.dt or 0.0)

    def splits(self) -> dict[str, Split]:
        main, self._opened = self._opened or self.source.read(), None
        recordings = [main]
        try:
            parts = self._parts(main, recordings)
            needed = sum(part.bytes() for part in parts.values())
            here = self.in_memory is True or (self.in_memory == "auto" and needed <= self.memory_share * available())
            splits = {name: part.resident() if here else part.streamed() for name, part in parts.items()}
        except BaseException:
            _close(recordings)
            raise
        if here:
            _close(recordings)
        return splits

    # ------------------------------------------------------------ which samples, frames and points

    def _sizes(self, recording: Recording) -> tuple[int, int, int]:
        """Samples of the source for training, validation and the test."""
        n = recording.states.shape[0]
        n_val = 0 if self.val is not None else self.n_val
        if n_val is None:
            raise ConfigError("operator.dataset.n_val: how many samples of the source? null is for all of val's")
        n_test = 0 if "test" in self.tests else self.n_test or 0
        n_train = n - n_val - n_test if self.n_train is None else self.n_train
        if n_train < 1 or n_train + n_val + n_test > n:
            raise ConfigError(
                f"operator.dataset: {recording.name} has {n} samples, not the {max(n_train, 1)} + {n_val} + {n_test}"
                " of n_train, n_val and n_test"
            )
        return n_train, n_val, n_test

    def _parts(self, main: Recording, recordings: list[Recording]) -> dict[str, Part]:
        n = main.states.shape[0]
        n_train, n_val, n_test = self._sizes(main)
        coarse = self._space(main, self.stride, "stride")
        later = self.steps * self.time_stride  # the first start whose targets are all new
        parts = {"train": self._part(main, range(n_train), coarse, self.steps, self.window_stride)}
        if self.val is None:
            samples = range(n - n_test - n_val, n - n_test)
            parts["val"] = self._part(main, samples, coarse, self.steps, later)
        else:
            found = self._read(self.val, "val", main, recordings)
            space = self._space(found, self.stride, "stride")
            parts["val"] = self._part(found, _first(found, self.n_val, "n_val"), space, self.steps, later)
        if n_test:
            samples = range(n - n_test, n)
            parts["test"] = self._part(main, samples, coarse, self.test_steps)
        if self.fine_stride is not None:
            fine = self._space(main, self.fine_stride, "fine_stride")
            parts["test_fine"] = self._part(main, range(n - n_test, n), fine, self.test_steps)
        for name, source in self.tests.items():
            found = self._read(source, f"tests.{name}", main, recordings)
            space = self._space(found, self.stride, "stride")
            parts[name] = self._part(found, _first(found, self.n_test, "n_test"), space, self.test_steps)
        return parts

    def _part(self, recording: Recording, samples: range, space: Index, steps: int, every: int | None = None) -> Part:
        """The windows of some samples; only the first of each without ``every``."""
        if not self.history:
            return Part(recording, samples, space)
        times = recording.states.shape[1]
        starts = times - (self.history + steps - 1) * self.time_stride
        if starts < 1:
            raise ConfigError(
                f"operator.dataset: {recording.name} has {times} frames, not the"
                f" {(self.history + steps - 1) * self.time_stride + 1} for {self.history} frames in and {steps} out,"
                f" {self.time_stride} apart"
            )
        count = math.ceil(starts / every) if every else 1
        return Part(recording, samples, space, self.history, steps, self.time_stride, every or 1, count)

    def _space(self, recording: Recording, stride: int, key: str) -> Index:
        """A slice for each space axis.

        Raises:
            ConfigError: The points that are left are not a grid of the same domain.
        """
        for points, closes in zip(recording.states.shape[2:-1], recording.periodic, strict=True):
            divides = points - 1 if recording.ends and not closes else points
            if divides % stride or stride >= points:
                what = "closes" if closes else "has both its ends" if recording.ends else "has no point at its end"
                raise ConfigError(
                    f"operator.dataset.{key} is {stride}: an axis of {recording.name} has {points} points and {what},"
                    f" so it must divide {divides}"
                )
        return (slice(None, None, stride),) * len(recording.periodic)

    def _read(self, source: Source, key: str, main: Recording, recordings: list[Recording]) -> Recording:
        """A further recording that goes with the first."""
        found = source.read()
        recordings.append(found)
        if _kind(found, self.history) != self._kind:
            raise ConfigError(
                f"operator.dataset.{key}: {found.name} has {_kind(found, self.history)}, {main.name} {self._kind}"
            )
        dt = _spacing(found.times, self.time_stride) if self.history else None
        if dt is not None and self.dt is not None and not math.isclose(dt, self.dt, rel_tol=1e-3):
            raise ConfigError(
                f"operator.dataset.{key}: {found.name} has a frame every {dt}, {main.name} every {self.dt}"
            )
        return found


def _kind(recording: Recording, history: int) -> str:
    """What another recording must have in common, in words."""
    d = len(recording.periodic)
    closed = [str(axis + 1) for axis, closes in enumerate(recording.periodic) if closes]
    channels = f"{input_of(recording, history).shape[-1]} to {recording.states.shape[-1]} channels"
    return f"{channels} on {d} space axes of which {'none' if not closed else ' and '.join(closed)} closes"


def _first(recording: Recording, n: int | None, key: str) -> range:
    there = recording.states.shape[0]
    if n is not None and n > there:
        raise ConfigError(f"operator.dataset.{key} is {n}, {recording.name} has {there} samples")
    return range(there if n is None else n)


def _spacing(times: np.ndarray | None, stride: int) -> float | None:
    """Time between two frames of an example; None if it is not known, or not one number."""
    if times is None or len(times) <= stride:
        return None
    steps = np.diff(times[::stride])
    return float(steps.mean()) if np.allclose(steps, steps.mean(), rtol=1e-3, atol=0) else None


def _close(recordings: list[Recording]) -> None:
    for recording in recordings:
        recording.close()
