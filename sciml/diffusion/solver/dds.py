r"""Decomposed diffusion sampling: a few Krylov steps from the denoised field, inside its tangent space.

Chung, Lee and Ye (2024), *Decomposed Diffusion Sampler for Accelerating Large-Scale Inverse Problems*, Algorithms 1 and
2: M steps of conjugate gradients, begun at :math:`\hat x_0`, on

.. math:: (I + \gamma A^T A)\,x = \hat x_0 + \gamma A^T y \quad\text{(noisy)}, \qquad
          A^T A\,x = A^T y \quad\text{(noise-free, ``gamma: null``)},

then DDIM with the noise estimate of the network,

.. math:: x_{\sigma'} = \hat x + \sqrt{\sigma'^2 - s^2}\,\frac{x_\sigma - \hat x_0}{\sigma} + s z,
          \qquad s = \eta\sigma'\sqrt{1 - \sigma'^2/\sigma^2} .

A step takes M products with A and its adjoint and nothing dense, so the size of the problem does not matter. Deviation:
the noise levels are those of Karras et al. (2022).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.levels import Levels
from sciml.diffusion.linear import linear
from sciml.diffusion.sampler.ddim import shares
from sciml.linalg.lock_step import conjugate_gradients
from sciml.ranges import Count, Fraction, Positive


@final
class DDS(Annealed):
    """One evaluation a step, no backward pass.

    Args:
        gamma: Weight of the observations; null for observations without noise.
        krylov: Steps M of conjugate gradients.
        eta: How much of the noise is drawn anew, from 0 to 1.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        gamma: Positive | None = 5.0,
        krylov: Count = 5,
        eta: Fraction = 0.85,
    ) -> None:
        super().__init__(levels=levels)
        self.gamma, self.krylov, self.eta = gamma, krylov, eta

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        a = linear(measurement, "solver dds")
        identity, gamma = (0.0, 1.0) if self.gamma is None else (1.0, self.gamma)
        back = gamma * a.adjoint(y)

        def normal_equations(x: Tensor) -> Tensor:
            return identity * x + gamma * a.adjoint(a(x))

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            mean = prior.posterior(x, sigma).mean
            right = identity * mean + back
            near, _ = conjugate_gradients(
                normal_equations, torch.clone, right, x=mean, rtol=0.0, iterations=self.krylov, must_converge=False
            )
            kept, drawn = shares(sigma, following, self.eta)
            return near + kept * (x - mean) + drawn * normal(tuple(x.shape), generator, x)

        return step
