r"""Predictor and corrector for the variance-exploding process.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, Algorithm 2 with the
reverse-diffusion predictor

.. math:: x \leftarrow x + (\sigma^2 - \sigma'^2)\,s(x; \sigma) + \sqrt{\sigma^2 - \sigma'^2}\,z

and Algorithm 4, Langevin steps at the new level with the step size :math:`\epsilon = 2 (r \|z\| / \|s\|)^2`:

.. math:: x \leftarrow x + \epsilon\,s(x; \sigma') + \sqrt{2\epsilon}\,z .

:math:`s = (D - x)/\sigma^2`. Norms are means over the batch, as in the authors' code. From the last level the denoiser
itself gives the end, without noise, as they do (appendix G).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Prior, start
from sciml.diffusion.levels import Levelled, Levels
from sciml.errors import ConfigError


@final
class PredictorCorrector(Levelled):
    """``1 + corrections`` evaluations a step, and one at the end.

    Args:
        levels: The noise levels; a geometric sequence in the paper.
        corrections: Langevin steps at each level.
        snr: r, their signal-to-noise ratio.

    Raises:
        ConfigError: ``corrections`` is negative, or ``snr`` not positive.
    """

    order: ClassVar[int | None] = None

    def __init__(
        self,
        *,
        levels: Levels,
        corrections: int = 1,
        snr: float = 0.16,
    ) -> None:
        super().__init__(levels=levels)
        if corrections < 0 or snr <= 0:
            raise ConfigError(
                f"sampler predictor_corrector needs corrections >= 0 and snr > 0, not {corrections} and {snr}"
            )
        self.corrections, self.snr = corrections, snr

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        for sigma, following in pairwise(levels[:-1]):
            drop = sigma**2 - following**2
            x = x + drop * score(prior, x, sigma) + math.sqrt(drop) * normal(shape, generator, x)
            for _ in range(self.corrections):
                slope, z = score(prior, x, following), normal(shape, generator, x)
                step = 2 * float(self.snr * z.flatten(1).norm(dim=1).mean() / slope.flatten(1).norm(dim=1).mean()) ** 2
                x = x + step * slope + math.sqrt(2 * step) * z
        return prior.posterior(x, levels[-2]).mean


def score(prior: Prior, x: Tensor, sigma: float) -> Tensor:
    """Gradient of the log density at a noise level (Tweedie)."""
    return (prior.posterior(x, sigma).mean - x) / sigma**2
