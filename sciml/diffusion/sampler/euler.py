r"""Euler's method for the probability-flow equation.

.. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma}, \qquad D(x; \sigma) = E[x_0 | x_\sigma = x],

from :math:`\sigma_{max}` to 0. Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based
Generative Models*, Algorithm 1 without lines 6 to 8, with the time steps of eq. 5:
:math:`\sigma_i = (\sigma_{max}^{1/\rho} + \frac{i}{N-1}(\sigma_{min}^{1/\rho} - \sigma_{max}^{1/\rho}))^\rho`,
:math:`\sigma_N = 0`. One denoiser evaluation a step.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Prior, Sampler


def noise_levels(steps: int, *, sigma_min: float, sigma_max: float, rho: float) -> list[float]:
    """``steps + 1`` decreasing noise levels, the last one 0 (Karras et al. 2022, eq. 5)."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    top, bottom = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return [*((top + ramp * (bottom - top)) ** rho).tolist(), 0.0]


@final
class Euler(Sampler):
    """First order, deterministic.

    Args:
        steps: Denoiser evaluations N.
        sigma_min: Last noise level above 0.
        sigma_max: First noise level; far above the standard deviation of the data.
        rho: How strongly the levels crowd at the small end.
    """

    order: ClassVar[int | None] = 1

    def __init__(self, *, steps: int = 18, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0) -> None:
        self.steps, self.sigma_min, self.sigma_max, self.rho = steps, sigma_min, sigma_max, rho

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = noise_levels(self.steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
        x = levels[0] * normal(shape, generator, torch.empty(0, dtype=torch.float64, device=prior.device))
        for sigma, following in pairwise(levels):
            slope = (x - prior.posterior(x, sigma).mean) / sigma
            x = x + (following - sigma) * slope
        return x
