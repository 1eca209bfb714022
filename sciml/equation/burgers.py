r"""Viscous Burgers: ∂u/∂t + u ∂u/∂x = ν ∂²u/∂x² on t ∈ [0, 1], x ∈ [−1, 1], u(0, x) = −sin πx, u(t, ±1) = 0.

For ν = 0.01/π a front of width about ν forms at x = 0 near t = 1/π. The solution is odd and periodic.

Source: Raissi, Perdikaris and Karniadakis, doi:10.1016/j.jcp.2018.10.045, appendix A.1; the solution by the transform
of Cole and Hopf from Basdevant et al., "Spectral and finite difference solutions of the Burgers equation", Computers &
Fluids 14 (1986), doi:10.1016/0045-7930(86)90036-8, with y = x − √(4νt) z:

    u(t, x) = −E[sin πy] ,   E[g] = ∫ g f(y) e^{−z²} dz / ∫ f(y) e^{−z²} dz ,   f(y) = exp(−cos(πy) / (2πν)).

The integrals are Gauss-Hermite sums. f e^{−z²} spans e^{±50} and more, so that its logarithm is kept and its largest
value is taken out. At ν = 0.01/π 100 nodes agree with 400 and 800 nodes to 5e-15; a smaller ν needs more.

:class:`PeriodicBurgers` is the same equation on circles, from any initial values: Fourier modes without aliasing and
ETDRK4 (:mod:`sciml.equation.spectral`, :mod:`sciml.equation.etdrk4`). The mean is conserved; a front has a width of
about ν over its jump, which the grid has to resolve.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.classical import runge_kutta
from sciml.equation.etdrk4 import ETDRK4
from sciml.equation.operator import partials
from sciml.equation.spectral import analyse, highest, march, observe, substeps, synthesise, wavenumbers
from sciml.ranges import Positive, Range

Nodes = Annotated[int, Range(2, 200)]  # NumPy's rule overflows above


class Burgers(Evolution):
    """Burgers with a sine that steepens into a front.

    Args:
        nu: Viscosity ν; 0.01/π in the standard test.
        nodes: Gauss-Hermite nodes of the reference, 2 to 200.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, -1.0)
    upper = (1.0, 1.0)
    tolerance = 1e-9  # rounding of √t close to the start

    def __init__(self, *, nu: Positive = 0.01 / math.pi, nodes: Nodes = 100) -> None:
        self.nu, self.nodes = nu, nodes

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t + u ∂u/∂x − ν ∂²u/∂x² at ``x`` (n, 2): (n, 1)."""
        t, along = partials(2)
        u, linear, u_x = field.derivatives(x, t - self.nu * along**2, along)
        return linear + u * u_x

    def initial(self, x: Tensor) -> Tensor:
        """−sin πx at ``x`` (n, 2): (n, 1)."""
        return -torch.sin(math.pi * x[:, 1:])

    def boundary(self, x: Tensor) -> Tensor:
        """Zero at ``x`` (n, 2): (n, 1)."""
        return torch.zeros_like(x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """−sin πx + t free, for a free that is periodic in x: u(t, ±1) = 0 follows, as −sin πx is odd."""
        return x[:, :1] * free - torch.sin(math.pi * x[:, 1:])

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Second differences of u²/2 and u on four times the intervals of the grid, Runge-Kutta as far as stable."""
        dx = float(axes[1][1] - axes[1][0]) / 4
        along = np.linspace(-1, 1, round(2 / dx) + 1)  # both ends, one of which a periodic grid leaves out

        def slope(_: float, u: np.ndarray) -> np.ndarray:
            found = np.zeros_like(u)
            flux = u**2 / 2
            found[1:-1] = self.nu / dx**2 * np.diff(u, 2) - (flux[2:] - flux[:-2]) / (2 * dx)
            return found

        u = runge_kutta(slope, -np.sin(math.pi * along), axes[0].numpy(), min(0.5 * dx**2 / self.nu, dx))
        return torch.from_numpy(u[:, ::4][:, : len(axes[1])].copy()).reshape(-1, 1)

    def reference(self, x: Tensor) -> Tensor:
        """The quotient of Gauss-Hermite sums at ``x`` (n, 2): (n, 1), float64."""
        # In parts, as each point takes hundreds of numbers.
        return torch.cat([self._cole_hopf(part) for part in x.double().split(4096)])

    def _cole_hopf(self, x: Tensor) -> Tensor:
        z, log_weight = (a.to(x.device) for a in self._rule)
        y = x[:, 1:] - torch.sqrt(4 * self.nu * x[:, :1]) * z
        share = torch.softmax(log_weight - torch.cos(math.pi * y) / (2 * math.pi * self.nu), dim=1)
        return -(share * torch.sin(math.pi * y)).sum(dim=1, keepdim=True)

    @cached_property
    def _rule(self) -> tuple[Tensor, Tensor]:
        """Nodes and logarithms of weights, without nodes whose weight is no number."""
        z, weight = np.polynomial.hermite.hermgauss(self.nodes)
        kept = weight > 0
        return torch.from_numpy(z[kept]), torch.from_numpy(np.log(weight[kept]))


class PeriodicBurgers:
    """Burgers on a circle.

    Args:
        nu: Viscosity ν.
        length: Period.

    Raises:
        ValueError: One of them is not positive.
    """

    def __init__(self, *, nu: float, length: float = 1.0) -> None:
        if nu <= 0 or length <= 0:
            raise ValueError(f"nu and length must be positive, not {nu} and {length}")
        self.nu, self.length = nu, length

    def residual(self, u: Tensor, u_t: Tensor) -> Tensor:
        """What the equation leaves of values ``u`` and time derivatives ``u_t``, both ``(..., points)``.

        Derivatives in space are those of the interpolating Fourier series; the square aliases unless ``u`` has no
        wavenumber above a third of the points.
        """
        kappa = self._kappa(u.shape[-1] // 2).to(u)
        rest = 0.5j * kappa * torch.fft.rfft(u.square()) + self.nu * kappa**2 * torch.fft.rfft(u)
        return u_t + torch.fft.irfft(rest, n=u.shape[-1])

    def solve(self, u0: Tensor, *, dt: float, frames: int, step: float, points: int | None = None) -> Tensor:
        """States at equal distances in time.

        Args:
            u0: Initial values ``(..., resolution)``; what they hold above a third of the resolution is cut off.
            dt: Time from one state to the next.
            frames: States, the first of which is ``u0``.
            step: Largest step of the integrator.
            points: Points of the states, by default those of ``u0``.

        Returns:
            ``(..., frames, points)``.

        Raises:
            RunError: The step is too large.
        """
        resolution = u0.shape[-1]
        modes, wanted = highest(resolution), points or resolution
        kappa = self._kappa(modes).to(u0)
        factor = -0.5j * kappa

        def nonlinear(hat: Tensor) -> Tensor:
            u = synthesise(hat, resolution, 1)
            return factor * analyse(u * u, modes, 1)

        steps = substeps(dt, step)
        stepper = ETDRK4(-self.nu * kappa**2, nonlinear, dt / steps)
        start = analyse(u0, modes, 1)
        return march(stepper, start, frames=frames, substeps=steps, view=lambda s: observe(s, wanted, 1), axis=-2)

    def _kappa(self, modes: int) -> Tensor:
        (k,) = wavenumbers(modes, 1)
        return 2 * math.pi / self.length * k
