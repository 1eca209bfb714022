r"""FunDPS: Heun's steps, each corrected by a gradient of the mean square misfit that fades with the noise.

Yao et al. (2025), *Guided Diffusion Sampling on Function Spaces with Applications to PDEs*, and its code, whose are the
weights and their schedule. After a step of Heun's method from :math:`x_i` to :math:`x_{i+1}`, with :math:`\hat x` the
last field that it denoised,

.. math:: x_{i+1} \leftarrow x_{i+1} - g_i \sum_c w_c \nabla_{x_i} \ell\big(y_c - A_c(\hat x)\big)
          - [g_i < 1]\,g_i\,w_{pde} \nabla_{x_i} h\big(r(\hat x)\big), \qquad g_i = \min(1, \sigma_i / \sigma_1),

with the mean square :math:`\ell` or its root, the mean of Huber's loss h over the residual r, and nothing in the last
step. Its noise is the prior's (:mod:`sciml.diffusion.coloured`): theirs is
``diffusion/noise@diffusion.prior.noise=exponential``.

Fields are of size 1 here and of size 1/2 there, so that :math:`\sigma_1`, their 1, is 2; published weights are right as
they are for a mean square, and to be doubled for its root and quadrupled for the PDE. They are for 128² points: a mean
square of m observations pulls a smooth mode by w over the number of points, which must stay near 1.

Deviations: the gradient is taken in the coordinates in which the noise is white, as Tweedie's formula has it, where the
code takes it in x (with its correlation length the two are nearly the same); inference on several grids is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor
from torch.nn.functional import huber_loss

from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.coloured import physical
from sciml.diffusion.joint import Misfit, Residual
from sciml.diffusion.levels import Levels
from sciml.diffusion.solver.diffusionpde import heun_gradient
from sciml.ranges import NonNegative, Positive


@final
class FunDPS(Annealed):
    """Two evaluations a step, each with a backward pass; one evaluation in the last step.

    Args:
        weight: Of the observations, or of those of each channel.
        root: The misfit is a root mean square.
        weight_pde: Weight of the residual.
        fading: Noise level σ₁ below which the guidance fades.
        residual: Of the PDE; None leaves it out.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        weight: NonNegative | Sequence[NonNegative],
        root: bool = False,
        weight_pde: NonNegative = 0.0,
        residual: Residual | None = None,
        fading: Positive = 2.0,
        levels: Levels,
    ) -> None:
        super().__init__(levels=levels)
        self.weight, self.root, self.weight_pde, self.residual = weight, root, weight_pde, residual
        self.fading = fading

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        misfit, residual = Misfit(self.weight, measurement, y), self.residual

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            if not following:
                return prior.posterior(x, sigma).mean

            share = min(1.0, sigma / self.fading)

            def loss(denoised: Tensor) -> Tensor:
                found = torch.zeros_like(denoised[:, 0].flatten(1)[:, 0])
                for weight, difference in misfit(denoised):
                    size = difference.norm(dim=1) / difference.shape[1] ** 0.5
                    found = found + weight * (size if self.root else size.square())
                if residual is not None and self.weight_pde and share < 1:
                    left = residual(physical(prior, denoised)).flatten(1)
                    found = found + self.weight_pde * huber_loss(left, torch.zeros_like(left), reduction="none").mean(1)
                return share * found

            moved, gradient = heun_gradient(prior, x, sigma, following, loss)
            return moved - gradient

        return step
