r"""Errors in a Sobolev norm of any order, by Parseval's identity:

.. math:: \frac{\|p - u\|_{H^s}}{\|u\|_{H^s}}, \qquad \|u\|_{H^s}^2 = \sum_k (1 + |2\pi k|^2)^s |\hat u_k|^2 .

s = 0 is the relative L2 error, s = -1 weighs the large scales (Cao et al. 2024, *Spectral-Refiner*), s > 0 the small
ones. Axes with ends are continued evenly, see :mod:`sciml.operator.spectrum`; there the norm is that of the even
continuation.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sciml.operator.base import Loss
from sciml.operator.spectrum import coefficients, wavenumbers
from sciml.ranges import NonNegative


@final
class Sobolev(Loss):
    """Mean over examples; norms are over states and channels together.

    Args:
        periodic: Which axes close.
        order: s.
    """

    def __init__(self, periodic: tuple[bool, ...], *, order: NonNegative) -> None:
        self.periodic, self.order = periodic, order

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        grid = target.shape[-1 - len(self.periodic) : -1]
        k = wavenumbers(grid, self.periodic, target.device).to(target.dtype)
        weight = (1 + (2 * math.pi * k).square()).pow(self.order / 2)[..., None]

        def norm(u: Tensor) -> Tensor:
            weighted = torch.view_as_real(coefficients(u, self.periodic)) * weight[..., None]
            return weighted.flatten(1).norm(dim=1)

        return (norm(prediction - target) / norm(target)).mean()
