r"""EDM: input and target of the network have unit variance at every noise level.

.. math:: c_{skip} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \quad
          c_{out} = \frac{\sigma\,\sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad
          c_{in} = \frac{1}{\sqrt{\sigma^2 + \sigma_d^2}}, \quad c_{noise} = \tfrac14 \ln\sigma, \\
          \lambda = 1 / c_{out}^2, \qquad \ln\sigma \sim N(P_{mean}, P_{std}^2)

Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, table 1, last column, and
section 5.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.preconditioner.base import Coefficients, Scaling
from sciml.ranges import Positive


@final
class EDM(Scaling):
    """Args:
    sigma_data: Standard deviation of the data, in the units of the fields.
    p_mean: Mean of the logarithm of the noise level in training.
    p_std: Its standard deviation.
    """

    def __init__(self, *, sigma_data: Positive = 0.5, p_mean: float = -1.2, p_std: Positive = 1.2) -> None:
        self.sigma_data, self.p_mean, self.p_std = sigma_data, p_mean, p_std

    def coefficients(self, sigma: Tensor) -> Coefficients:
        total = sigma.square() + self.sigma_data**2
        return Coefficients(
            skip=self.sigma_data**2 / total,
            out=sigma * self.sigma_data / total.sqrt(),
            into=1 / total.sqrt(),
            noise=sigma.log() / 4,
        )

    def weight(self, sigma: Tensor) -> Tensor:
        return 1 / sigma.square() + 1 / self.sigma_data**2

    def levels(self, uniform: Tensor) -> Tensor:
        return (self.p_mean + self.p_std * torch.special.ndtri(uniform)).exp()
