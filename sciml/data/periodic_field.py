r"""Band-limited Gaussian random fields on a periodic interval.

.. math:: u(x) = \sum_{k=1}^{K} \sqrt{\lambda_k}\,\big(a_k \cos(2\pi k x) + b_k \sin(2\pi k x)\big),
          \qquad \lambda_k = 2\tau^{2\alpha-1} (4\pi^2 k^2 + \tau^2)^{-\alpha}, \qquad a_k, b_k \sim N(0, 1),

with :math:`x \in [0, 1)` in units of the period. It is the measure
:math:`N(0, \tau^{2\alpha-1}(-\Delta + \tau^2)^{-\alpha})` of Li et al. (2021), *Fourier Neural Operator for
Parametric Partial Differential Equations*, cut off at K modes and without the constant one. The
coefficients are drawn, not the values, so one seed gives the same fields on every grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def periodic_field(n: int, points: int, *, modes: int, alpha: float, tau: float, generator: Generator) -> Tensor:
    """Draw ``n`` fields on ``points`` equidistant points ``j / points``.

    Args:
        n: Number of fields.
        points: Grid points, more than ``2 * modes``.
        modes: Highest wavenumber K.
        alpha: Smoothness, larger is smoother.
        tau: Inverse length scale.
        generator: Source of the coefficients.

    Returns:
        Fields ``(n, points)`` in float64.

    Raises:
        ValueError: The grid cannot represent the highest mode.
    """
    if points <= 2 * modes:
        raise ValueError(f"{points} grid points cannot hold {modes} modes; take more than {2 * modes}")
    coefficients = torch.randn(n, 2, modes, generator=generator, dtype=torch.float64)
    k = torch.arange(1, modes + 1, dtype=torch.float64)
    variance = 2 * tau ** (2 * alpha - 1) * (4 * math.pi**2 * k**2 + tau**2) ** (-alpha)
    phase = 2 * math.pi * torch.outer(k, torch.arange(points, dtype=torch.float64) / points)
    a, b = (coefficients * variance.sqrt()).unbind(1)
    return a @ phase.cos() + b @ phase.sin()


def periodic_fields(
    generators: Sequence[Generator], points: int, *, modes: int, alpha: float, tau: float, sigma: float
) -> Tensor:
    """Fields of the measure N(0, sigma² (-Δ + tau²)^-alpha), cut off likewise; one for each generator.

    Args:
        generators: Sources of the coefficients.
        points: Equidistant points ``j / points``, more than ``2 * modes``.
        modes: Highest wavenumber K.
        alpha: Smoothness, larger is smoother.
        tau: Inverse length scale.
        sigma: Amplitude; ``tau ** (alpha - 0.5)`` gives the measure of :func:`periodic_field`.

    Returns:
        Fields ``(len(generators), points)`` in float64.

    Raises:
        ValueError: The grid cannot represent the highest mode.
    """
    if points <= 2 * modes:
        raise ValueError(f"{points} grid points cannot hold {modes} modes; take more than {2 * modes}")
    white = torch.stack([torch.randn(2, modes, generator=g, dtype=torch.float64) for g in generators])
    k = torch.arange(1, modes + 1, dtype=torch.float64)
    size = math.sqrt(2) * sigma * (4 * math.pi**2 * k**2 + tau**2) ** (-alpha / 2)
    # a cos + b sin has the coefficient (a - i b) / 2
    half = torch.complex(white[:, 0], -white[:, 1]) * size / 2
    return torch.fft.irfft(torch.nn.functional.pad(half, (1, 0)), n=points, norm="forward")
