"""Solvers that walk down the noise levels with a step of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver, start
from sciml.diffusion.levels import check_levels, noise_levels

Step = Callable[[Tensor, float, float], Tensor]  # (x at sigma, sigma, the next level) -> x at the next level


class Annealed(Solver, ABC):
    """A solver on the noise levels of Karras et al. (2022), eq. 5.

    Args:
        steps: Number of steps N.
        sigma_min: Last noise level above 0.
        sigma_max: First noise level; far above the standard deviation of the data.
        rho: How strongly the levels crowd at the small end.

    Raises:
        ConfigError: There are fewer than two steps, or the levels do not fall.
    """

    def __init__(self, *, steps: int, sigma_min: float, sigma_max: float, rho: float) -> None:
        check_levels(steps, sigma_min, sigma_max)
        self.steps, self.sigma_min, self.sigma_max, self.rho = steps, sigma_min, sigma_max, rho

    @final
    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        step = self.begin(prior, measurement, y, generator)
        levels = noise_levels(self.steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
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
