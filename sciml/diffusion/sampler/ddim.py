r"""DDIM, from deterministic to ancestral.

Song, Meng and Ermon (2021), *Denoising Diffusion Implicit Models*, eq. 12 and 16, in the variance-exploding form, where
the variance of their :math:`q(x_{t-1}|x_t, x_0)` is :math:`\sigma'^2(\sigma^2 - \sigma'^2)/\sigma^2`:

.. math:: s = \eta\,\sigma'\sqrt{1 - \sigma'^2/\sigma^2}, \qquad
          x \leftarrow D + \sqrt{\sigma'^2 - s^2}\,\frac{x - D}{\sigma} + s\,z, \qquad z \sim N(0, I) .

:math:`\eta = 1` is the ancestral sampler of Ho et al. (2020) and of Song et al. (2021), *Score-Based Generative
Modeling through Stochastic Differential Equations*, appendix F; :math:`\eta = 0` is Euler's method.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Prior, start
from sciml.diffusion.levels import Levelled, Levels
from sciml.ranges import Fraction


@final
class DDIM(Levelled):
    """One evaluation a step.

    Args:
        eta: How much of the noise is drawn anew, from 0 to 1.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        eta: Fraction,
    ) -> None:
        super().__init__(levels=levels)
        self.eta = eta
        self.order = None if eta else 1  # a sampler that draws noise has none

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        for sigma, following in pairwise(levels):
            x = renoise(prior.posterior(x, sigma).mean, x, sigma, following, self.eta, generator)
        return x


def renoise(denoised: Tensor, x: Tensor, sigma: float, following: float, eta: float, generator: Generator) -> Tensor:
    """One step to the noise level ``following`` from a state ``x`` at ``sigma`` and a guess of what lies under it."""
    kept, drawn = shares(sigma, following, eta)
    x = denoised + kept * (x - denoised)
    return x + drawn * normal(tuple(x.shape), generator, x) if drawn else x


def shares(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """What a step keeps of the noise in a state, and the standard deviation of what it draws; see above."""
    drawn = eta * following * math.sqrt(max(0.0, 1 - (following / sigma) ** 2))
    return math.sqrt(max(0.0, following**2 - drawn**2)) / sigma, drawn
