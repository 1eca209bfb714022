r"""RED-diff: the mode of a variational objective, regularised by denoising at all noise levels.

Mardani et al. (2024), *A Variational Perspective on Solving Inverse Problems with Diffusion Models*, Algorithm 1: Adam
on :math:`\mu` with, at levels that fall,

.. math:: \tfrac12 \overline{(y - A(\mu))^2} + \lambda\,\sigma\,\overline{\mathrm{sg}(\hat\epsilon - \epsilon)\,\mu},
          \qquad \hat\epsilon = \frac{x_\sigma - D(x_\sigma)}{\sigma}, \quad x_\sigma = \mu + \sigma\epsilon,

overlines means over entries and the weight :math:`\lambda\sigma` an inverse signal-to-noise ratio, as in the authors'
code. A point estimate: its samples differ only as the optimisation does. Deviation: the noise levels are those of
Karras et al. (2022). :math:`\mu` begins at :math:`A^T y`, as theirs does.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.levels import Levels
from sciml.diffusion.linear import linear
from sciml.ranges import Momentum, NonNegative, Positive


@final
class REDDiff(Solver):
    """One evaluation a step, no backward pass through the denoiser.

    Args:
        weight: λ.
        lr: Of Adam.
        betas: Of Adam.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        weight: NonNegative = 0.25,
        lr: Positive = 0.1,
        betas: tuple[Momentum, Momentum] = (0.9, 0.99),
    ) -> None:
        self.weight, self.lr, self.betas = weight, lr, (betas[0], betas[1])
        self.levels = levels

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        a = linear(measurement, "solver red_diff")
        mu = a.adjoint(y).requires_grad_()
        optimizer = torch.optim.Adam([mu], lr=self.lr, betas=self.betas)
        entries, observations = mu[0].numel(), y.shape[1]
        for sigma in self.levels.values()[:-1]:
            noise = normal(tuple(mu.shape), generator, mu)
            x = mu.detach() + sigma * noise
            estimate = (x - prior.posterior(x, sigma).mean) / sigma
            misfit = a.adjoint(a(mu.detach()) - y) / observations
            # The sum over samples: Adam treats each entry by itself.
            mu.grad = misfit + self.weight * sigma * (estimate - noise) / entries
            optimizer.step()
        return mu.detach()
