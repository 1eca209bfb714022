r"""The error of the posterior mean: how far the prior's best guess of a field is from it, once it was seen with noise.

.. math:: m = \Big(\frac{1}{Kd}\sum_k \big\|E_\theta[x \mid x + \sigma\epsilon_k] - x\big\|^2\Big)^{1/2},

a root mean square in units of the field, at one noise level :math:`\sigma`; the mean is what the run's denoiser says.
Over a list of fields the mean is taken inside the root.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.influence.prior_measurement.base import PriorMeasurement
from sciml.ranges import Count, Natural, Positive

if TYPE_CHECKING:
    from sciml.diffusion.training import Denoising


@final
class PosteriorMean(PriorMeasurement):
    """Error at one level of noise.

    Args:
        fields: Numbers in the run's test split, or lists of them.
        level: Standard deviation of the noise, in units of the field.
        draws: K.
    """

    noisy: Tensor

    def __init__(
        self, *, fields: Sequence[Natural | Sequence[Natural]], level: Positive = 0.5, draws: Count = 16
    ) -> None:
        super().__init__(fields=fields)
        self.level, self.draws = level, draws
        self.what = f"error of the posterior mean at noise {level:g}"

    def prepare(self, run: Denoising) -> None:
        super().prepare(run)
        self.register_buffer("noisy", self.x[:, None] + self.level * self.noise(self.draws))

    def forward(self, run: Denoising) -> Tensor:
        squares = torch.stack(
            [
                (run.denoiser.mean(self.noisy[:, k], self.level) - self.x).square().flatten(1).mean(1)
                for k in range(self.draws)
            ]
        )
        return (self.shares @ squares.mean(0)).sqrt()
