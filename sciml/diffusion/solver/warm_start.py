r"""Warm start: a draw from the Gaussian posterior, noised a little and taken back by the prior.

With the mean and the covariance of the prior taken for all of it, p(x | y) is normal, and Matheron's rule draws from it
by one solve (:class:`sciml.diffusion.conditioning.GaussianPosterior`). Such a draw :math:`x_w` has the right coarse
features; what it lacks, edges and everything else that two moments do not know, is of small scale. So noise of a small
level is added, and the sampler goes the rest of the way along the guided denoiser:

.. math:: x_w \sim N(x | y), \qquad x_{\sigma_{max}} = x_w + \sigma_{max}\,\epsilon
          \;\longrightarrow\; x_0 \quad\text{by}\quad D_y(x_\sigma, \sigma) \approx E[x | x_\sigma, y] .

The larger part of a sampler's levels lies above :math:`\sigma_{max}` and is saved. Of a Gaussian prior
:math:`x_{\sigma_{max}}` has exactly the law of the noised posterior, so that nothing is lost. Meng et al. (2022),
*SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations*, Algorithm 1, start so from a
painting; Chung, Sim and Ye (2022), *Come-Closer-Diffuse-Faster*, from a reconstruction that is a point estimate.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.conditioning import GaussianPosterior
from sciml.diffusion.denoised import Denoised
from sciml.diffusion.linear import linear
from sciml.diffusion.solver.guided import Guided
from sciml.errors import RunError
from sciml.linalg.covariance import FactoredCovariance


@final
class WarmStart(Guided):
    """Args:
    sampler: Goes from its largest noise level, at which the draw is noised, to 0.
    guidance: Makes the denoiser of the posterior.
    """

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        a = linear(measurement, "solver warm_start")
        like = torch.zeros(1, *shape[1:], dtype=y.dtype, device=y.device)
        mean, covariance = prior.posterior(like, math.inf)
        if not isinstance(covariance, FactoredCovariance):
            raise RunError(
                f"solver warm_start needs a prior that knows its own covariance; {type(prior).__name__} does not"
            )
        begin = GaussianPosterior(mean, covariance, a, y).sample(generator)
        denoise = self.guidance(prior, a, y)

        def around(x: Tensor, sigma: float) -> Tensor:
            """With the draw as the origin, so that the sampler starts at pure noise."""
            return denoise(x + begin, sigma) - begin

        return begin + self.sampler(Denoised(around, prior.device), shape, generator)
