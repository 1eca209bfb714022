"""Solvers that walk down the noise levels with a step of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver, start
from sciml.diffusion.levels import Levels

Step = Callable[[Tensor, float, float], Tensor]  # (x at sigma, sigma, the next level) -> x at the next level


class Annealed(Solver, ABC):
    """A solver that takes its step from each noise level to the next.

    Args:
        levels: The noise levels.
    """

    def __init__(self, *, levels: Levels) -> None:
        self.levels = levels

    @final
    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        step = self.begin(prior, measurement, y, generator)
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        for sigma, following in pairwise(levels):
            x = step(x, sigma, following)
        return x

    @abstractmethod
    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        """What is done once for a batch of observations ``(batch, m)``; returns the step.

        Raises:
            RunError: The method does not apply to this prior or measurement.
        """
