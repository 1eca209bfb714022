r"""The denoising loss of fields that were not trained on,

.. math:: m = \frac{1}{Kd}\sum_k \|D_\theta(x + \sigma_k\epsilon_k;\ \sigma_k) - x\|^2_{\lambda(\sigma_k)},

over the run's own law of noise levels, of which K quantiles are taken, and with its own weights: what the run's
``val/loss`` is a mean of. Up to a constant it bounds the negative log-likelihood of x under the prior (Song, Durkan,
Murray and Ermon 2021, *Maximum Likelihood Training of Score-Based Diffusion Models*, theorem 3) where the weights are
those of the likelihood. Without unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.influence.denoising_loss import quantiles, weighted
from sciml.influence.prior_measurement.base import PriorMeasurement
from sciml.ranges import Count, Natural

if TYPE_CHECKING:
    from sciml.diffusion.training import Denoising


@final
class DenoisingLoss(PriorMeasurement):
    """Mean over noise levels.

    Args:
        fields: Numbers in the run's test split, or lists of them.
        draws: K, levels with a noise each.
    """

    what = "denoising loss"
    sigma: Tensor
    noisy: Tensor

    def __init__(self, *, fields: Sequence[Natural | Sequence[Natural]], draws: Count = 32) -> None:
        super().__init__(fields=fields)
        self.draws = draws

    def prepare(self, run: Denoising) -> None:
        super().prepare(run)
        self.register_buffer("sigma", quantiles(run, self.draws))
        level = self.sigma.reshape(-1, *[1] * (self.x.dim() - 1))
        self.register_buffer("noisy", self.x[:, None] + level * self.noise(self.draws))

    def forward(self, run: Denoising) -> Tensor:
        squares = torch.stack(
            [
                weighted(run.denoiser, self.noisy[:, k], sigma, self.x).square().flatten(1).sum(1)
                for k, sigma in enumerate(self.sigma)
            ]
        )
        return self.shares @ squares.mean(0)
