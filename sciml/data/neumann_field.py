r"""Gaussian random fields on the unit square with vanishing normal derivative at its boundary.

.. math:: g(x, y) = \sum_{k, l = 0}^{K - 1} \tau^{\alpha - 1} \big(\pi^2 (k^2 + l^2) + \tau^2\big)^{-\alpha/2}
          \, \xi_{kl} \, c_k c_l \cos(\pi k x) \cos(\pi l y), \qquad c_0 = 1,\ c_{k > 0} = \sqrt 2,

without the constant term: the measure N(0, τ^{2α−2} (−Δ + τ²)^{−α}) of Li et al. (2021), *Fourier Neural Operator for
Parametric Partial Differential Equations*, as ``GRF.m`` of the authors' code draws it. There K is the number of cells
and the sum is evaluated at their centres; here it is evaluated anywhere, and one seed gives the same field on every
grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def neumann_fields(generators: Sequence[Generator], along: Tensor, *, modes: int, alpha: float, tau: float) -> Tensor:
    """Draw one field for each generator.

    Args:
        generators: Sources of the coefficients.
        along: Where: x and y both run over these ``(points,)``, float64, in [0, 1].
        modes: Terms K along each axis.
        alpha: Smoothness, larger is smoother.
        tau: Inverse length scale.

    Returns:
        Fields ``(len(generators), points, points)`` in float64.
    """
    k = torch.arange(modes, dtype=torch.float64)
    basis = torch.cos(math.pi * torch.outer(along, k)) * torch.where(k > 0, math.sqrt(2), 1.0)
    size = tau ** (alpha - 1) * (math.pi**2 * (k.unsqueeze(1).square() + k.square()) + tau**2) ** (-alpha / 2)
    size[0, 0] = 0
    white = torch.stack([torch.randn(modes, modes, generator=g, dtype=torch.float64) for g in generators])
    return basis @ (size * white) @ basis.mT
