r"""Noise levels at which a reverse process is taken.

All samplers run in the variance-exploding form :math:`x_\sigma = x + \sigma\epsilon`. A variance-preserving state is
:math:`\bar x = x_\sigma / \sqrt{1 + \sigma^2}` with :math:`\bar\alpha = 1 / (1 + \sigma^2)`: DDPM, DDIM and their
descendants are the same updates of the same numbers in either form.
"""

from __future__ import annotations

import math
from abc import ABC

import torch

from sciml.diffusion.base import Sampler
from sciml.errors import ConfigError


def noise_levels(steps: int, *, sigma_min: float, sigma_max: float, rho: float) -> list[float]:
    """``steps + 1`` decreasing noise levels, the last one 0 (Karras et al. 2022, eq. 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [*((top + ramp * (bottom - top)) ** rho).tolist(), 0.0]


def geometric_levels(steps: int, *, sigma_min: float, sigma_max: float) -> list[float]:
    """``steps + 1`` decreasing noise levels in a geometric sequence, then 0 (Song et al. 2021, appendix C)."""
    ramp = torch.linspace(math.log(sigma_max), math.log(sigma_min), steps, dtype=torch.float64)
    return [*ramp.exp().tolist(), 0.0]


def check_levels(steps: int, sigma_min: float, sigma_max: float) -> None:
    """Refuse levels that do not fall.

    Raises:
        ConfigError: There are fewer than two steps, or ``sigma_min`` is not between 0 and ``sigma_max``.
    """
    if steps < 2 or not 0 < sigma_min < sigma_max:
        raise ConfigError(
            f"noise levels need steps >= 2 and 0 < sigma_min < sigma_max, not {steps}, {sigma_min}, {sigma_max}"
        )


class Levelled(Sampler, ABC):
    """A sampler on the noise levels of Karras et al. (2022), eq. 5.

    Args:
        steps: Number of steps N.
        sigma_min: Last noise level above 0.
        sigma_max: First noise level; far above the standard deviation of the data.
        rho: How strongly the levels crowd at the small end.

    Raises:
        ConfigError: There are fewer than two steps, or the levels do not fall.
    """

    def __init__(self, *, steps: int = 18, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> None:
        check_levels(steps, sigma_min, sigma_max)
        self.steps, self.sigma_min, self.sigma_max, self.rho = steps, sigma_min, sigma_max, rho

    def levels(self) -> list[float]:
        """All noise levels, the last one 0."""
        return noise_levels(self.steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
