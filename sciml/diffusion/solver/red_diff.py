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
from sciml.diffusion.levels import check_levels, noise_levels
from sciml.diffusion.linear import linear


@final
class REDDiff(Solver):
    """One evaluation a step, no backward pass through the denoiser.

    Args:
        weight: λ.
        lr: Of Adam.
        betas: Of Adam.
        steps: Number of steps.
        sigma_min: Last noise level.
        sigma_max: First noise level.
        rho: How strongly the levels crowd at the small end.

    Raises:
        ConfigError: There are fewer than two steps, or the levels do not fall.
    """

    def __init__(
        self,
        *,
        weight: float = 0.25,
        lr: float = 0.1,
        betas: tuple[float, float] = (0.9, 0.99),
        steps: int = 1000,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        rho: float = 7.0,
    ) -> None:
        check_levels(steps, sigma_min, sigma_max)
        self.weight, self.lr, self.betas = weight, lr, (betas[0], betas[1])
        self.steps, self.sigma_min, self.sigma_max, self.rho = steps, sigma_min, sigma_max, rho

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        a = linear(measurement, "solver red_diff")
        mu = a.adjoint(y).requires_grad_()
        optimizer = torch.optim.Adam([mu], lr=self.lr, betas=self.betas)
        levels = noise_levels(self.steps, sigma_min=self.sigma_min, sigma_max=self.sigma_max, rho=self.rho)
        entries, observations = mu[0].numel(), y.shape[1]
        for sigma in levels[:-1]:
            noise = normal(tuple(mu.shape), generator, mu)
            x = mu.detach() + sigma * noise
            estimate = (x - prior.posterior(x, sigma).mean) / sigma
            misfit = a.adjoint(a(mu.detach()) - y) / observations
            # The sum over samples: Adam treats each entry by itself.
            mu.grad = misfit + self.weight * sigma * (estimate - noise) / entries
            optimizer.step()
        return mu.detach()
