r"""Noise levels at which a reverse process is taken.

All samplers run in the variance-exploding form :math:`x_\sigma = x + \sigma\epsilon`. A variance-preserving state is
:math:`\bar x = x_\sigma / \sqrt{1 + \sigma^2}` with :math:`\bar\alpha = 1 / (1 + \sigma^2)`: DDPM, DDIM and their
descendants are the same updates of the same numbers in either form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch

from sciml.diffusion.base import Sampler
from sciml.errors import ConfigError
from sciml.ranges import Positive, Several


class Levels(ABC):
    """A falling sequence.

    Args:
        steps: Number of steps N from one level to the next.
        sigma_min: Last noise level above 0.
        sigma_max: First noise level; far above the standard deviation of the data.

    Raises:
        ConfigError: ``sigma_min`` is not below ``sigma_max``.
    """

    def __init__(self, *, steps: Several, sigma_min: Positive, sigma_max: Positive) -> None:
        if sigma_min >= sigma_max:
            raise ConfigError(f"levels.sigma_min is {sigma_min}; it must be below sigma_max, {sigma_max}")
        self.steps, self.sigma_min, self.sigma_max = steps, sigma_min, sigma_max

    @final
    def values(self) -> list[float]:
        """``steps + 1`` levels from ``sigma_max`` down to ``sigma_min``, and 0."""
        return [*self.between(self.sigma_max, self.sigma_min, self.steps), 0.0]

    @abstractmethod
    def between(self, top: float, bottom: float, n: int) -> list[float]:
        """``n`` levels by the same law, ``top`` first and ``bottom`` last."""


@final
class Karras(Levels):
    r"""Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, eq. 5:
    :math:`\sigma^{1/\rho}` falls linearly.

    Args:
        rho: How strongly the levels crowd at the small end.
        rest: As in :class:`Levels`.
    """

    def __init__(
        self, *, steps: Several, sigma_min: Positive = 0.002, sigma_max: Positive = 80.0, rho: Positive = 7.0
    ) -> None:
        super().__init__(steps=steps, sigma_min=sigma_min, sigma_max=sigma_max)
        self.rho = rho

    def between(self, top: float, bottom: float, n: int) -> list[float]:
        ramp = torch.linspace(0, 1, n, dtype=torch.float64)
        first, last = top ** (1 / self.rho), bottom ** (1 / self.rho)
        return ((first + ramp * (last - first)) ** self.rho).tolist()


@final
class Geometric(Levels):
    """A geometric sequence (Song et al. 2021, *Score-Based Generative Modeling through Stochastic Differential
    Equations*, appendix C).

    Args:
        rest: As in :class:`Levels`.
    """

    def __init__(self, *, steps: Several, sigma_min: Positive = 0.01, sigma_max: Positive = 50.0) -> None:
        super().__init__(steps=steps, sigma_min=sigma_min, sigma_max=sigma_max)

    def between(self, top: float, bottom: float, n: int) -> list[float]:
        return torch.linspace(math.log(top), math.log(bottom), n, dtype=torch.float64).exp().tolist()


class Levelled(Sampler, ABC):
    """A sampler that goes from level to level.

    Args:
        levels: The noise levels.
    """

    def __init__(self, *, levels: Levels) -> None:
        self.levels, self.sigma_max = levels, levels.sigma_max
