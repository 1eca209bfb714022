r"""Heat equation on a periodic interval.

.. math:: u_t = \nu u_{xx}, \qquad x \in [0, L), \qquad u(0, t) = u(L, t)

Good values: ``nu`` 0.001 to 1. Every Fourier mode decays on its own: with
:math:`\kappa_k = 2\pi k / L` the exact solution is :math:`\hat u_k(t) = e^{-\nu\kappa_k^2 t}\hat u_k(0)`. The mean
is conserved and the energy never grows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Heat:
    """The equation with its two numbers.

    Args:
        nu: Diffusivity, length squared over time.
        length: Period L.
    """

    nu: float
    length: float = 1.0

    def __post_init__(self) -> None:
        if self.nu < 0 or self.length <= 0:
            raise ValueError(f"nu must not be negative and length must be positive, not {self.nu} and {self.length}")

    def _decay(self, u: Tensor) -> Tensor:
        """``nu * kappa_k**2`` of every mode that ``rfft`` returns along the last dimension."""
        k = torch.arange(u.shape[-1] // 2 + 1, dtype=u.dtype, device=u.device)
        return self.nu * (2 * math.pi / self.length * k).square()

    def residual(self, u: Tensor, u_t: Tensor) -> Tensor:
        """``u_t - nu u_xx`` with the second derivative taken in Fourier space.

        Args:
            u: Values on equidistant points ``(..., points)``.
            u_t: Time derivatives there, same shape.

        Returns:
            The residual on the same points; zero for a solution.
        """
        nu_u_xx = torch.fft.irfft(-self._decay(u) * torch.fft.rfft(u), n=u.shape[-1])
        return u_t - nu_u_xx

    def solve(self, u0: Tensor, t: float) -> Tensor:
        """Exact solution at time ``t`` of the band-limited field through ``u0`` ``(..., points)``."""
        return torch.fft.irfft(torch.exp(-self._decay(u0) * t) * torch.fft.rfft(u0), n=u0.shape[-1])
