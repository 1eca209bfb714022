r"""DiffusionPDE: Heun's steps, each corrected by gradients of the misfit of the observations and of the PDE.

Huang et al. (2024), *DiffusionPDE: Generative PDE-Solving Under Partial Observation*, Algorithm 1. A step of EDM from
:math:`x_i` to :math:`x_{i+1}` denoises twice; with :math:`\hat x` the second of these fields and gradients through
both evaluations

.. math:: x_{i+1} \leftarrow x_{i+1} - \sum_c \zeta_c \nabla_{x_i} \|y_c - A_c(\hat x)\|
          \quad\text{for the first 80 % of the steps, then}\quad
          x_{i+1} \leftarrow x_{i+1} - \frac{1}{10} \sum_c \zeta_c \nabla_{x_i} \|y_c - A_c(\hat x)\|
          - \zeta_{pde} \nabla_{x_i} \frac{1}{n} \|r(\hat x)\|,

c the observed fields and r the residual at n nodes. Norms are not squared, as in the authors' code.

Published :math:`\zeta_c` are for norms in physical units and fields in units :math:`s'_c`. For both in the units
:math:`s_c` of the prior they are to be multiplied by :math:`s_c'^2 / s_c`, and noise levels by :math:`s'_c / s_c`: with
s' = 2.15 and 1/36.5 and fields of size 1, 0.8 and 40 for Poisson are 12.7 and 7.2.

Deviations: the residual is the discrete equation of the data, with 1/h, where the authors' Darcy has none; n counts its
nodes, where the code has 127² for any grid; one gradient of the sum, where the code takes three, each back through both
evaluations; observations are float64. Under an exact prior of a linear equation every denoised field solves it, and the
residual has nothing to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.coloured import physical
from sciml.diffusion.joint import Misfit, Residual
from sciml.diffusion.levels import Levels
from sciml.ranges import Fraction, NonNegative, Positive


@final
class DiffusionPDE(Annealed):
    """Two evaluations a step, each with a backward pass; one in the last step.

    Args:
        zeta: Weight of the observations, or of those of each channel.
        zeta_pde: Weight of the residual.
        residual: Of the PDE; None leaves it out.
        late: Share of the steps after which the residual counts.
        fading: Factor on ``zeta`` from there on.
        levels: The noise levels.

    Raises:
        ConfigError: A residual has no weight.
    """

    def __init__(
        self,
        *,
        zeta: NonNegative | Sequence[NonNegative],
        zeta_pde: NonNegative = 1.0,
        residual: Residual | None = None,
        late: Fraction = 0.8,
        fading: Positive = 0.1,
        levels: Levels,
    ) -> None:
        super().__init__(levels=levels)
        self.zeta, self.zeta_pde, self.residual, self.late, self.fading = zeta, zeta_pde, residual, late, fading

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        misfit, residual, numbers = Misfit(self.zeta, measurement, y), self.residual, count()

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            early = next(numbers) <= self.late * self.levels.steps

            def loss(denoised: Tensor) -> Tensor:
                found = torch.zeros_like(denoised[:, 0].flatten(1)[:, 0])
                for zeta, difference in misfit(denoised):
                    found = found + zeta * difference.norm(dim=1)
                if early:
                    return found
                found = self.fading * found
                if residual is not None and self.zeta_pde:
                    left = residual(physical(prior, denoised)).flatten(1)
                    found = found + self.zeta_pde * left.norm(dim=1) / left.shape[1]
                return found

            moved, gradient = heun_gradient(prior, x, sigma, following, loss)
            return moved - gradient

        return step


def heun_gradient(
    prior: Prior, x: Tensor, sigma: float, following: float, loss: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """One step of Heun's method, and the gradient of a loss of the last field that it denoised.

    Args:
        prior: Evaluated at ``x`` and, unless ``following`` is 0, once more; a gradient is taken through all of it.
        x: States ``(batch, *shape)`` at the noise level ``sigma``.
        sigma: That level.
        following: The next one.
        loss: Of denoised fields, ``(batch,)``.

    Returns:
        States at ``following``, and the gradient with respect to ``x``.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        denoised = prior.posterior(x, sigma).mean
        prior.backwards += 1
        slope = (x - denoised) / sigma
        moved = x + (following - sigma) * slope
        if following > 0:
            denoised = prior.posterior(moved, following).mean
            prior.backwards += 1
            slope = (slope + (moved - denoised) / following) / 2
            moved = x + (following - sigma) * slope
        (gradient,) = torch.autograd.grad(loss(denoised).sum(), x)  # each loss depends on its own state alone
    return moved.detach(), gradient
