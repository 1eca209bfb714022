r"""Navier-Stokes in two dimensions: ∂ω/∂t + u·∇ω = ν Δω + f for the vorticity ω = ∂v/∂x − ∂u/∂y on the unit torus.

The velocity is u = (∂ψ/∂y, −∂ψ/∂x) with −Δψ = ω; its mean is zero, as is that of ω. Without forcing

    d/dt ½⟨|u|²⟩ = −ν ⟨ω²⟩ ,   d/dt ½⟨ω²⟩ = −ν ⟨|∇ω|²⟩ .

Method: Fourier modes without aliasing (:mod:`sciml.equation.spectral`), u·∇ω as (∂²/∂x² − ∂²/∂y²)(u v) +
∂²/∂x∂y (v² − u²), which takes four transforms where u·∇ω takes five (Basdevant, "Technical improvements for direct
numerical simulation of homogeneous three-dimensional turbulence", J. Comput. Phys. 50 (1983)); in time the classical
method of fourth order on e^{νκ²t} ω̂, which has no limit on the step from viscosity (Canuto et al., "Spectral Methods in
Fluid Dynamics" (1988), section 4.4.2). A step h must meet h |u| κ_max < 2.8 or so.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.equation.spectral import analyse, march, observe, substeps, synthesise, wavenumbers


def diagonal_forcing(x: Tensor, y: Tensor, amplitude: float = 0.1) -> Tensor:
    """A (sin 2π(x + y) + cos 2π(x + y)): Li et al., arXiv 2010.08895, with A = 0.1."""
    phase = 2 * math.pi * (x + y)
    return amplitude * (torch.sin(phase) + torch.cos(phase))


def symmetric_forcing(x: Tensor, y: Tensor, amplitude: float = 0.1, period: int = 4) -> Tensor:
    """A (cos pπx + cos pπy), invariant under quarter turns.

    Helwig et al., "Group equivariant Fourier neural operators for partial differential equations", ICML 2023 (arXiv
    2306.05697), with A = 0.1 and p = 4. The field is periodic for an even p.
    """
    return amplitude * (torch.cos(period * math.pi * x) + torch.cos(period * math.pi * y))


class NavierStokes:
    """The equation on the unit torus.

    Args:
        nu: Viscosity ν, at least zero.
        forcing: f, from x and y to values that broadcast with both; none by default. Its mean is left out.

    Raises:
        ValueError: ν is negative.
    """

    def __init__(self, *, nu: float, forcing: Callable[[Tensor, Tensor], Tensor] | None = None) -> None:
        if nu < 0:
            raise ValueError(f"nu is {nu}; it must not be negative")
        self.nu, self.forcing = nu, forcing

    def force(self, modes: int) -> Tensor:
        """Coefficients of f, float64."""
        n = 2 * modes + 2
        if self.forcing is None:
            return torch.zeros(2 * modes + 1, modes + 1, dtype=torch.complex128)
        x = torch.arange(n, dtype=torch.float64) / n
        found = analyse(self.forcing(x.unsqueeze(1), x).expand(n, n), modes, 2)
        found[0, 0] = 0
        return found

    def velocity(self, vorticity: Tensor) -> Tensor:
        """Coefficients (2, ...) of u and v, of those of ω ``(..., 2K + 1, K + 1)``."""
        to_u, to_v = _to_velocity(vorticity)
        return torch.stack([to_u * vorticity, to_v * vorticity])

    def rate(self, resolution: int, like: Tensor) -> Callable[[Tensor], Tensor]:
        """The map from ω̂ to the coefficients of −u·∇ω + f.

        Args:
            resolution: Points a side, on which products are taken; more than three times the wavenumbers.
            like: Some ω̂, for size, precision and device.
        """
        modes = like.shape[-1] - 1
        kx, ky = (2 * math.pi * k.to(like.real) for k in wavenumbers(modes, 2))
        across, along = kx**2 - ky**2, kx * ky
        force = self.force(modes).to(like)
        to_u, to_v = _to_velocity(like)

        def of(vorticity: Tensor) -> Tensor:
            u, v = synthesise(torch.stack([to_u * vorticity, to_v * vorticity]), resolution, 2)
            # v² − u² as a product: of rounding errors the smaller
            shear, stretch = analyse(torch.stack([u * v, (v - u) * (v + u)]), modes, 2)
            return across * shear + along * stretch + force

        return of

    def solve(
        self, vorticity: Tensor, *, resolution: int, dt: float, frames: int, step: float, points: int | None = None
    ) -> Tensor:
        """States at equal distances in time.

        Args:
            vorticity: Coefficients ``(n, 2K + 1, K + 1)`` of the initial values.
            resolution: Points a side, on which products are taken; free of aliasing with more than 3 K.
            dt: Time from one state to the next.
            frames: States, the first of which is the initial one.
            step: Largest step of the integrator.
            points: Points a side of the states, by default ``resolution``.

        Returns:
            ω ``(n, frames, points, points)``.

        Raises:
            ValueError: The resolution is too small for the wavenumbers.
            RunError: The step is too large.
        """
        modes, wanted = vorticity.shape[-1] - 1, points or resolution
        if resolution <= 3 * modes:
            raise ValueError(f"resolution is {resolution}; {modes} wavenumbers need more than {3 * modes}")
        steps = substeps(dt, step)
        stepper = self._stepper(self.rate(resolution, vorticity), dt / steps, vorticity)
        return march(
            stepper, vorticity, frames=frames, substeps=steps, view=lambda state: observe(state, wanted, 2), axis=1
        )

    def _stepper(self, rate: Callable[[Tensor], Tensor], h: float, like: Tensor) -> Callable[[Tensor], Tensor]:
        """One step of size ``h``: Runge-Kutta for e^{νκ²t} ω̂."""
        kx, ky = (2 * math.pi * k.to(like.real) for k in wavenumbers(like.shape[-1] - 1, 2))
        half = torch.exp(-self.nu * h / 2 * (kx**2 + ky**2))
        whole = half.square()

        def step(state: Tensor) -> Tensor:
            k1 = rate(state)
            halfway = half * state
            k2 = rate(torch.addcmul(halfway, half, k1, value=h / 2))
            k3 = rate(torch.add(halfway, k2, alpha=h / 2))
            middle = k2 + k3
            k4 = rate(half * torch.add(halfway, k3, alpha=h))
            found = whole * torch.add(state, k1, alpha=h / 6)
            return found.addcmul_(half, middle, value=h / 3).add_(k4, alpha=h / 6)

        return step


def _to_velocity(like: Tensor) -> tuple[Tensor, Tensor]:
    """Factors from ω̂ to û and v̂."""
    kx, ky = (2 * math.pi * k.to(like.real) for k in wavenumbers(like.shape[-1] - 1, 2))
    square = kx**2 + ky**2
    square[0, 0] = 1
    return 1j * ky / square, -1j * kx / square
