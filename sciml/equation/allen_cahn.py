r"""Allen and Cahn: ∂u/∂t = ε ∂²u/∂x² + 5 (u − u³), u(0, x) = x² cos πx, periodic on [−1, 1], t ∈ [0, 1], ε = 1e-4.

Source: Raissi, Perdikaris and Karniadakis, doi:10.1016/j.jcp.2018.10.045, section 3.2.1 (there with measurements).

The initial values are periodic, but their slope jumps by 4 at the ends; the solution's does not for any t > 0. So no
field of the form x² cos πx + t · (something smooth) solves it. The ansatz has a third part, which takes the jump away
and leaves the initial values as they are: with d the distance from an end, the solution of the heat equation that
starts from 2 |d| is 2 |d| + 2 k(t, d),

    k(t, d) = w / √π exp(−z²) − d erfc(z),   w = √(4εt),   z = d / w

(Carslaw and Jaeger, "Conduction of Heat in Solids", 2nd edition, section 2.9: a constant flux into a half space). Its
effect through the reaction is left to the network: it is smoother by one power of t.

Reference: 1024 Fourier modes without aliasing, ETDRK4, pieces in time that shrink towards t = 0. The jump makes
coefficients fall with 1/k² at t = 0, like e^{−επ²k²t} / k² after; against 4096 modes the error is 2e-7 at t = 0.005,
5e-10 at t = 0.01 and below 1e-10 for t >= 0.02, and 1e-9 in relative L2 over a grid of 200 times. At t = 0 the initial
values themselves are given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.classical import runge_kutta
from sciml.equation.etdrk4 import fast_length
from sciml.equation.operator import partials
from sciml.equation.series import Series, solve
from sciml.ranges import NonNegative

SOON = 1e-24  # added to t, so that nothing is divided by zero: 2e-14 of the ansatz at the ends


class AllenCahn(Evolution):
    """Two phases, whose borders sharpen.

    Args:
        epsilon: Diffusivity ε.
        rate: Factor of u − u³.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, -1.0)
    upper = (1.0, 1.0)
    tolerance = 9e-6  # next to the ends for t < 0.01; 1e-9 elsewhere

    def __init__(self, *, epsilon: NonNegative = 1e-4, rate: float = 5.0) -> None:
        self.epsilon, self.rate = epsilon, rate

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t − ε ∂²u/∂x² − 5 (u − u³) at ``x`` (n, 2): (n, 1)."""
        t, along = partials(2)
        u, linear = field.derivatives(x, t - self.epsilon * along**2)
        return linear - self.rate * (u - u**3)

    def initial(self, x: Tensor) -> Tensor:
        """The values x² cos πx at ``x`` (n, 2): (n, 1)."""
        return x[:, 1:] ** 2 * torch.cos(math.pi * x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """It is x² cos πx + 2 k(t, 1 − x) + 2 k(t, 1 + x) + t free, for a free that is periodic in x."""
        t, along = x[:, :1], x[:, 1:]
        width = torch.sqrt(4 * self.epsilon * (t + SOON))
        kink = 0.0
        for away in (1 - along, 1 + along):
            z = away / width
            kink = kink + width * torch.exp(-z * z) / math.sqrt(math.pi) - away * torch.erfc(z)
        return along**2 * torch.cos(math.pi * along) + 2 * kink + t * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Second differences on the points of the grid, Runge-Kutta with steps of at most 1/100."""
        along = axes[1].numpy()
        diffusion = self.epsilon / (along[1] - along[0]) ** 2

        def slope(_: float, u: np.ndarray) -> np.ndarray:
            return diffusion * (np.roll(u, 1) - 2 * u + np.roll(u, -1)) + self.rate * (u - u**3)

        start = along**2 * np.cos(math.pi * along)
        u = runge_kutta(slope, start, axes[0].numpy(), min(0.01, 0.5 / diffusion))
        return torch.from_numpy(u).reshape(-1, 1)

    def reference(self, x: Tensor) -> Tensor:
        """The computed solution at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        later = phases(self.epsilon, self.rate)(x)
        return torch.where(x[:, :1] > 0, later, self.initial(x))


@cache
def phases(epsilon: float, rate: float, *, modes: int = 1024, h: float = 2e-3, end: float = 1.0) -> Series:
    """The solution from x² cos πx until ``end``, computed once a process (in two to three seconds)."""
    k = np.arange(modes + 1)
    points = fast_length(4 * modes + 1)  # so many that the cube is free of aliasing

    def reaction(state: np.ndarray) -> np.ndarray:
        u = np.asarray(np.fft.irfft(state, points, norm="forward"))
        return np.asarray(np.fft.rfft(rate * (u - u**3), norm="forward"))[: modes + 1]

    start = (_mean(k - 1) + _mean(k + 1)) / 2
    times = [0.0, *(1e-3 * (1e3 * end) ** (np.arange(14) / 13))]
    steps = [min(h, (b - a) / 10) for a, b in pairwise(times)]
    wavenumbers = math.pi * k
    return solve(-epsilon * wavenumbers**2, reaction, start, wavenumbers, times=times, degree=24, h=steps, real=True)


def _mean(m: np.ndarray) -> np.ndarray:
    """The mean of x² cos mπx over [−1, 1]."""
    away = np.where(m == 0, 1, m)
    return np.where(m == 0, 1 / 3, 2 * np.where(m % 2 == 0, 1.0, -1.0) / (math.pi * away) ** 2)
