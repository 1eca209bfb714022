r"""Denoising, then a proximal step towards the observations, then noise again.

Zhu et al. (2023), *Denoising Diffusion Models for Plug-and-Play Image Restoration*, Algorithm 1:

.. math:: \hat x = \arg\min_x \|y - A x\|^2 + \rho \|x - \hat x_0\|^2, \quad \rho = \lambda\sigma_y^2/\sigma^2, \qquad
          \hat\epsilon = \frac{x_\sigma - \hat x}{\sigma}, \qquad
          x_{\sigma'} = \hat x + \sigma'(\sqrt{1 - \zeta}\,\hat\epsilon + \sqrt\zeta\,z) .

:math:`\lambda = 1` is the posterior mean if x given :math:`x_\sigma` has the covariance :math:`\sigma^2 I`.
Deviation: the noise levels are those of Karras et al. (2022).
"""

from __future__ import annotations

import math
from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.levels import Levels
from sciml.diffusion.linear import LeastSquares, linear
from sciml.ranges import Fraction, Positive


@final
class DiffPIR(Annealed):
    """One evaluation a step, no backward pass.

    Args:
        weight: λ, of the denoised field.
        zeta: Share of the noise that is drawn anew, from 0 to 1.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        weight: Positive = 1.0,
        zeta: Fraction = 0.3,
    ) -> None:
        super().__init__(levels=levels)
        self.weight, self.zeta = weight, zeta

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        a = linear(measurement, "solver diffpir")
        squares = LeastSquares(a, y)

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            near = squares.toward(prior.posterior(x, sigma).mean, y, self.weight * (a.noise_std / sigma) ** 2)
            noise = math.sqrt(1 - self.zeta) * (x - near) / sigma
            return near + following * (noise + math.sqrt(self.zeta) * normal(tuple(x.shape), generator, x))

        return step
