r"""Manifold-constrained gradient: a gradient step through the denoiser, then a projection onto noisy observations.

Chung et al. (2022), *Improving Diffusion Models for Inverse Problems using Manifold Constraints*, eq. 14 and 15 and
Algorithm 1, with the step size :math:`\alpha / \|y - A\hat x_0\|` of its section 5:

.. math:: x' = x_{i-1}(x_i, \hat x_0) - \alpha\,\nabla_{x_i} \|y - A\hat x_0\|, \qquad
          x_{i-1} = x' + A^+ (y_{i-1} - A x'), \qquad y_{i-1} = y + \sigma_{i-1} A z .

The weighting matrix of its eq. 13 is the identity, as for inpainting. The projection leaves no room for the noise of y
and no spread along it: the method claims no moment. Deviations: where A has small singular values, as in tomography,
the projection blows noise up, and a ``damping`` :math:`\delta > 0` puts :math:`A^T (A A^T + \delta I)^{-1}` in the
place of :math:`A^+`; variance-exploding coordinates (see :mod:`sciml.diffusion.solver.dps`).
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
from sciml.diffusion.sampler.ddim import renoise
from sciml.diffusion.solver.dps import misfit_gradient
from sciml.ranges import NonNegative


@final
class MCG(Annealed):
    r"""One evaluation and one backward pass a step.

    Args:
        alpha: Step size.
        damping: :math:`\delta`, in units of :math:`A A^T`; 0 for the projection of the paper.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        alpha: NonNegative = 0.1,
        damping: NonNegative = 0.0,
    ) -> None:
        super().__init__(levels=levels)
        self.alpha, self.damping = alpha, damping

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        a = linear(measurement, "solver mcg")
        squares = LeastSquares(a, y)

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            mean, gradient = misfit_gradient(prior, a, y, x, sigma)
            scale = self.alpha * math.sqrt((1 + sigma**2) * (1 + following**2))
            moved = renoise(mean, x, sigma, following, 1.0, generator) - scale * gradient
            noisy = y + following * a(normal(tuple(x.shape), generator, x)) if following else y
            return squares.toward(moved, noisy, self.damping)

        return step
