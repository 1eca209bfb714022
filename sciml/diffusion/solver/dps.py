r"""Diffusion posterior sampling: ancestral steps, each corrected by the gradient of the misfit.

Chung et al. (2023), *Diffusion Posterior Sampling for General Noisy Inverse Problems*, Algorithm 1 with the step size
of its appendix, :math:`\zeta_i = \zeta / \|y - A(\hat x_0)\|`. In the variance-preserving coordinates of the paper
that is, up to a factor of 2,

.. math:: \bar x_{i-1} \leftarrow \bar x_{i-1} - \zeta\,\nabla_{\bar x_i} \|y - A(\hat x_0(\bar x_i))\|,

which is what the authors' code does; ``zeta`` is the code's. In the
variance-exploding coordinates used here the correction is multiplied by
:math:`\sqrt{1 + \sigma_i^2}\sqrt{1 + \sigma_{i-1}^2}`. Any differentiable measurement. Deviation: the noise levels are
those of Karras et al. (2022).
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.levels import Levels
from sciml.diffusion.sampler.ddim import renoise
from sciml.ranges import NonNegative


@final
class DPS(Annealed):
    """One evaluation and one backward pass a step.

    Args:
        zeta: Step size.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        zeta: NonNegative = 1.0,
    ) -> None:
        super().__init__(levels=levels)
        self.zeta = zeta

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            mean, gradient = misfit_gradient(prior, measurement, y, x, sigma)
            scale = self.zeta * math.sqrt((1 + sigma**2) * (1 + following**2))
            return renoise(mean, x, sigma, following, 1.0, generator) - scale * gradient

        return step


def misfit_gradient(
    prior: Prior, measurement: Measurement, y: Tensor, x: Tensor, sigma: float
) -> tuple[Tensor, Tensor]:
    """The denoised field, and the gradient of the norm of its misfit with respect to the noisy one."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        mean = prior.posterior(x, sigma).mean
        prior.backwards += 1
        misfit = (y - measurement(mean)).norm(dim=1).sum()  # each norm depends on its own state alone
        (gradient,) = torch.autograd.grad(misfit, x)
    return mean.detach(), gradient
