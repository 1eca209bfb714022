r"""DPM-Solver++(2M): a second-order multistep method at one denoiser evaluation a step.

Lu et al. (2022), *DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models*, Algorithm 2, in the
form with :math:`\alpha = 1`: with :math:`\lambda = -\log\sigma`, :math:`h_i = \lambda_i - \lambda_{i-1}`,
:math:`r_i = h_{i-1}/h_i`

.. math:: D_i = \Big(1 + \frac{1}{2 r_i}\Big) D(x_{i-1}) - \frac{1}{2 r_i} D(x_{i-2}), \qquad
          x_i = \frac{\sigma_i}{\sigma_{i-1}} x_{i-1} - (e^{-h_i} - 1) D_i .

The first step, and the last, to :math:`\sigma = 0` where h is infinite, are of first order, as in the paper.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Prior, start
from sciml.diffusion.levels import Levelled


@final
class DPMpp2M(Levelled):
    """Second order, deterministic, N evaluations."""

    order: int | None = 2

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        levels = self.levels.values()
        x = start(prior, shape, levels[0], generator)
        before, h_before = None, math.inf
        for sigma, following in pairwise(levels):
            denoised = prior.posterior(x, sigma).mean
            h = math.log(sigma / following) if following > 0 else math.inf
            extrapolated = denoised
            if before is not None and following > 0:
                extrapolated = denoised + (denoised - before) * (h / (2 * h_before))
            x = (following / sigma) * x + (1 - following / sigma) * extrapolated
            before, h_before = denoised, h
        return x
