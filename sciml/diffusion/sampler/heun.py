r"""Heun's method for the probability-flow equation, the sampler of EDM.

Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, Algorithm 1: with
:math:`d = (x - D(x; \sigma))/\sigma`

.. math:: x' = x + (\sigma' - \sigma)\,d, \qquad
          x \leftarrow x + (\sigma' - \sigma)\,\tfrac12\big(d + d'\big),

and Euler's step alone to :math:`\sigma' = 0`. 2 N - 1 denoiser evaluations.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Prior, start
from sciml.diffusion.levels import Levelled


@final
class Heun(Levelled):
    """Second order, deterministic."""

    order: int | None = 2

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        for sigma, following in pairwise(levels):
            slope = (x - prior.posterior(x, sigma).mean) / sigma
            ahead = x + (following - sigma) * slope
            if following > 0:
                slope = (slope + (ahead - prior.posterior(ahead, following).mean) / following) / 2
                ahead = x + (following - sigma) * slope
            x = ahead
        return x
