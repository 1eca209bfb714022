r"""Pseudo-inverse guidance: an isotropic covariance of x given its noisy version.

Song et al. (2023), *Pseudoinverse-Guided Diffusion Models for Inverse Problems*, eq. 7 and appendix A.3: with
:math:`p(x | x_\sigma) \approx N(D, r^2 I)`, :math:`r^2 = \sigma^2/(\sigma^2 + 1)`,

.. math:: \nabla_{x_\sigma} \log p(y | x_\sigma) \approx
          \Big(\frac{\partial D}{\partial x_\sigma}\Big)^T A^T (r^2 A A^T + \sigma_y^2 I)^{-1} (y - A D),

and :math:`E[x | x_\sigma, y] = D + \sigma^2 \nabla \log p(y | x_\sigma)` by Tweedie's formula. :math:`r^2` is right for
data of variance ``scale``² times the identity; 1 in the paper. Deviations: any sampler follows it, where the paper has
DDIM and multiplies the guidance by :math:`r^2`, which is no part of its derivation.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Denoiser, Guidance, Measurement, Prior
from sciml.diffusion.linear import LeastSquares, linear
from sciml.ranges import Positive


@final
class PiGDM(Guidance):
    """One backward pass through the denoiser an evaluation.

    Args:
        scale: Standard deviation of the data.
    """

    def __init__(self, *, scale: Positive = 1.0) -> None:
        self.scale = scale

    def __call__(self, prior: Prior, measurement: Measurement, y: Tensor) -> Denoiser:
        a = linear(measurement, "guidance pigdm")
        squares = LeastSquares(a, y)

        def denoise(x: Tensor, sigma: float) -> Tensor:
            variance = sigma**2 * self.scale**2 / (sigma**2 + self.scale**2)
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                mean = prior.posterior(x, sigma).mean
            known = mean.detach()
            # (r^2 A A^T + s^2)^-1 is that with damping s^2 / r^2, over r^2.
            weights = squares.weights(y - a(known), a.noise_std**2 / variance) / variance
            prior.backwards += 1
            (gradient,) = torch.autograd.grad(mean, x, a.adjoint(weights))
            return known + sigma**2 * gradient

        return denoise
