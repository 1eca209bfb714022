r"""Kuramoto-Sivashinsky: ∂u/∂t + u ∂u/∂x + ∂²u/∂x² + ∂⁴u/∂x⁴ = 0, periodic on [0, L).

Chaotic for L well above 2π√2 ≈ 8.9, after a time of about 20 to 50 that a small smooth start takes to saturate;
u is of order 3 and its structures of size 2π√2. Waves with κ = 2πk/L grow at the rate κ² − κ⁴ while they are small.
The mean is conserved, a mean c carries the field along with speed c, and

    d/dt ½⟨u²⟩ = ⟨(∂u/∂x)²⟩ − ⟨(∂²u/∂x²)²⟩ .

Method: Fourier modes without aliasing (:mod:`sciml.equation.spectral`), ETDRK4 (:mod:`sciml.equation.etdrk4`), as
Kassam and Trefethen, SIAM J. Sci. Comput. 26 (2005), section 4.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.equation.etdrk4 import ETDRK4
from sciml.equation.spectral import advance, analyse, highest, march, observe, substeps, synthesise, wavenumbers


class KuramotoSivashinsky:
    """The equation on circles.

    Args:
        length: Period L, of all fields or one for each (n,).

    Raises:
        ValueError: A period is not positive.
    """

    def __init__(self, *, length: float | Tensor) -> None:
        self.length = torch.as_tensor(length, dtype=torch.float64)
        if not bool((self.length > 0).all()):
            raise ValueError(f"length must be positive, not {self.length.min():g}")

    def _kappa(self, modes: int) -> Tensor:
        """κ (1 or n, modes + 1)."""
        (k,) = wavenumbers(modes, 1)
        return 2 * math.pi / self.length.reshape(-1, 1) * k

    def residual(self, u: Tensor, u_t: Tensor) -> Tensor:
        """What the equation leaves of values ``u`` and time derivatives ``u_t``, both ``(n, points)``.

        Derivatives in space are those of the interpolating Fourier series; the square aliases unless ``u`` has no
        wavenumber above a third of the points.
        """
        kappa = self._kappa(u.shape[-1] // 2).to(u)
        hat, square = torch.fft.rfft(u), torch.fft.rfft(u.square())
        rest = 0.5j * kappa * square + (kappa**4 - kappa**2) * hat
        return u_t + torch.fft.irfft(rest, n=u.shape[-1])

    def solve(
        self,
        u0: Tensor,
        *,
        dt: float | Tensor,
        frames: int,
        step: float,
        warmup: int = 0,
        points: int | None = None,
    ) -> Tensor:
        """States at equal distances in time.

        Args:
            u0: Initial values ``(n, resolution)``; what they hold above a third of the resolution is cut off.
            dt: Time from one state to the next, for all fields or one for each (n,).
            frames: States.
            step: Largest step of the integrator; 0.1 leaves a relative error of about 1e-5 per unit of time in the
                chaotic regime.
            warmup: States to leave out at the start.
            points: Points of the states, by default those of ``u0``.

        Returns:
            ``(n, frames, points)``, the first at time ``warmup * dt``.

        Raises:
            RunError: The step is too large.
        """
        resolution = u0.shape[-1]
        modes = highest(resolution)
        kappa = self._kappa(modes).to(u0)
        dt = torch.as_tensor(dt, dtype=u0.dtype, device=u0.device).reshape(-1, 1)
        steps = substeps(float(dt.max()), step)
        factor = -0.5j * kappa

        def nonlinear(hat: Tensor) -> Tensor:
            u = synthesise(hat, resolution, 1)
            return factor * analyse(u * u, modes, 1)

        stepper = ETDRK4(kappa**2 - kappa**4, nonlinear, dt / steps)
        hat = advance(stepper, analyse(u0, modes, 1), warmup * steps)
        wanted = points or resolution
        return march(stepper, hat, frames=frames, substeps=steps, view=lambda s: observe(s, wanted, 1), axis=1)
