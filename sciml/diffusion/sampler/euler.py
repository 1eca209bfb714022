r"""Euler's method for the probability-flow equation.

.. math:: \frac{dx}{d\sigma} = \frac{x - D(x; \sigma)}{\sigma}, \qquad D(x; \sigma) = E[x_0 | x_\sigma = x],

from :math:`\sigma_{max}` to 0. Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based
Generative Models*, Algorithm 1 without lines 6 to 8. One denoiser evaluation a step.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Prior, start
from sciml.diffusion.levels import Levelled


@final
class Euler(Levelled):
    """First order, deterministic."""

    order: int | None = 1

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        for sigma, following in pairwise(levels):
            slope = (x - prior.posterior(x, sigma).mean) / sigma
            x = x + (following - sigma) * slope
        return x
