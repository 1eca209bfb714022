r"""Random Fourier features: coordinates as sines and cosines of random frequencies.

.. math:: \gamma(x) = [\cos(2\pi B x), \sin(2\pi B x)], \qquad B_{ki} \sim N(0, \sigma_i^2)

Source: Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains",
NeurIPS 2020 (arXiv 2006.10739), section 5, equation of the Gaussian mapping; :math:`\sigma` is the frequency, in
periods per unit of the input, that a network behind it learns first. jaxpi has no :math:`2\pi`: its scale s is
:math:`\sigma = s / 2\pi`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.ranges import Count, Positive


class FourierFeatures(nn.Module):
    """The features.

    Args:
        in_features: Dimension of the input.
        features: Their number, sines and cosines together: even.
        sigma: Standard deviation of the frequencies, one for all inputs or one for each.
        trainable: Whether the frequencies are trained.

    Raises:
        ConfigError: An odd number of features, or not one σ for each input.
    """

    frequencies: Tensor

    def __init__(
        self, in_features: Count, features: Count, *, sigma: Positive | Sequence[Positive], trainable: bool = False
    ) -> None:
        super().__init__()
        if features % 2:
            raise ConfigError(f"network.features is {features}; it must be an even number")
        sigmas = [float(sigma)] * in_features if isinstance(sigma, (int, float)) else [float(s) for s in sigma]
        if len(sigmas) != in_features:
            raise ConfigError(
                f"network.sigma has {len(sigmas)} numbers; it must have one for each of the {in_features} inputs of the"
                " network, or be one number"
            )
        frequencies = 2 * math.pi * torch.randn(features // 2, in_features) * torch.tensor(sigmas)
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies)

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., features) of points (..., in_features)."""
        phase = F.linear(x, self.frequencies)
        return torch.cat([torch.cos(phase), torch.sin(phase)], dim=-1)
