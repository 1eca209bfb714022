r"""Gaussian random fields on the unit torus.

.. math:: w(x) = \sum_{0 < |k|_\infty \le K} \hat w_k\, e^{2\pi i k \cdot x}, \qquad
          \mathrm{E}|\hat w_k|^2 = \sigma^2 (4\pi^2 |k|^2 + \tau^2)^{-\alpha},

the measure N(0, σ² (−Δ + τ²)^{−α}) without its constant part, cut off at K waves along each axis: the initial
vorticity of Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*, with α = 2.5
and τ = 7. Their ``random_fields.py`` has σ = τ^{α−1}; its first version (``torch.ifft`` of two standard normal numbers
a wave) draws twice that variance, σ = √2 τ^{α−1}, a later one (complex normal numbers) does not. One seed gives the
same field on every grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def periodic_fields2d(generators: Sequence[Generator], *, modes: int, alpha: float, tau: float, sigma: float) -> Tensor:
    """Draw one field for each generator.

    Args:
        generators: Sources of the coefficients.
        modes: Highest wavenumber K along each axis.
        alpha: Smoothness, larger is smoother.
        tau: Inverse length scale.
        sigma: Amplitude.

    Returns:
        Coefficients ``(len(generators), 2K + 1, K + 1)``, complex, as :mod:`sciml.equation.spectral` keeps them.
    """
    half = torch.arange(modes + 1, dtype=torch.float64)
    k = torch.cat([half, -half[1:].flip(0)])
    size = sigma * (4 * math.pi**2 * (k.unsqueeze(1).square() + k.square()) + tau**2) ** (-alpha / 2)
    size[0, 0] = 0
    shape = (2 * modes + 1, 2 * modes + 1, 2)
    white = torch.view_as_complex(
        torch.stack([torch.randn(shape, generator=generator, dtype=torch.float64) for generator in generators])
    )
    # The real part of the field: the mean of each coefficient and the conjugate of its mirror image.
    mirror = white.flip((-2, -1)).roll((1, 1), (-2, -1)).conj()
    return (size * (white + mirror) / 2)[..., : modes + 1]
