r"""Korteweg and de Vries: ∂u/∂t + a u ∂u/∂x + b ∂³u/∂x³ = 0, in two tests that share nothing but the equation.

:class:`KdVCosine`: a = 1, b = 0.022², u(0, x) = cos πx, periodic on [−1, 1], t ∈ [0, 1]: the cosine steepens and breaks
up into solitons. Zabusky and Kruskal, Phys. Rev. Lett. 15 (1965), doi:10.1103/PhysRevLett.15.240, whose x ∈ [0, 2) is
shifted; Wang, Li, Chen and Perdikaris, "PirateNets", arXiv 2402.00326. Reference: 200 Fourier modes, ETDRK4 with
h = 5e-5; against h = 2.5e-5 and 240 modes it differs by 5e-11.

:class:`KdVSolitons`: a = 6, b = 1, two solitons of speeds 6 and 2, the faster one overtaking, x ∈ [0, 20], t ∈ [0, 5],
values given at both ends and the slope at the right one. Urbán, Stefanou and Pons, "Unveiling the optimization process
of Physics Informed Neural Networks", J. Comput. Phys. 523 (2025), doi:10.1016/j.jcp.2024.113656, and their code. With
k_i = √c_i, θ_i = k_i (x − c_i t − x_i) − log(A) / 2 and A = ((k₁ − k₂) / (k₁ + k₂))², as Hirota found
(doi:10.1103/PhysRevLett.27.1192),

    u = 2 ∂²/∂x² log(1 + e^{θ₁} + e^{θ₂} + A e^{θ₁ + θ₂}) ,

which is twice the variance of a number that is 0, k₁, k₂ or k₁ + k₂ with the shares of the four terms in their sum.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.etdrk4 import fast_length
from sciml.equation.operator import partials
from sciml.equation.series import Series, solve
from sciml.errors import ConfigError
from sciml.ranges import Positive


class KdVCosine(Evolution):
    """The cosine that breaks up.

    Args:
        eta: Factor a of the transport.
        mu: Root of the factor b of the dispersion.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, -1.0)
    upper = (1.0, 1.0)
    tolerance = 2e-7

    def __init__(self, *, eta: float = 1.0, mu: float = 0.022) -> None:
        self.eta, self.mu = eta, mu

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t + η u ∂u/∂x + μ² ∂³u/∂x³ at ``x`` (n, 2): (n, 1)."""
        return _residual(field, x, self.eta, self.mu**2)

    def initial(self, x: Tensor) -> Tensor:
        """The cosine of πx at ``x`` (n, 2): (n, 1)."""
        return torch.cos(math.pi * x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """It is cos πx + t free, for a free that is periodic in x."""
        return torch.cos(math.pi * x[:, 1:]) + x[:, :1] * free

    def reference(self, x: Tensor) -> Tensor:
        """The computed solution at ``x`` (n, 2): (n, 1), float64."""
        return cosine(self.eta, self.mu)(x)


class KdVSolitons(Evolution):
    """One soliton overtakes another.

    Args:
        c1: Speed of the faster one.
        c2: Speed of the slower one.
        x1: Where the faster one starts.
        x2: Where the slower one starts.

    Raises:
        ConfigError: The speeds are not in this order.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (5.0, 20.0)

    def __init__(self, *, c1: Positive = 6.0, c2: Positive = 2.0, x1: float = -2.0, x2: float = 2.0) -> None:
        if c1 <= c2:
            raise ConfigError(f"c1 is {c1:g} and c2 {c2:g}; the first soliton must be the faster one")
        self.c, self.start = (c1, c2), (x1, x2)

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t + 6 u ∂u/∂x + ∂³u/∂x³ at ``x`` (n, 2): (n, 1)."""
        return _residual(field, x, 6.0, 1.0)

    def initial(self, x: Tensor) -> Tensor:
        """The solution at t = 0 at ``x`` (n, 2): (n, 1)."""
        return self._solution(0.0, x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """u₀(x), plus what the ends have moved by (linear in between), plus t ξ (1 − ξ) free with ξ = x / 20."""
        t, along = x[:, :1], x[:, 1:]
        (_, left), (_, right) = self.lower, self.upper
        place = (along - left) * (1 / (right - left))
        still = 0.0 * t  # the ends, as far as time and space go the same kind of thing as x
        moved = [self._solution(t, still + end) - self._solution(still, still + end) for end in (left, right)]
        lifted = self._solution(still, along) + (1 - place) * moved[0] + place * moved[1]
        return lifted + t * place * (1 - place) * free

    def reference(self, x: Tensor) -> Tensor:
        """The two solitons at ``x`` (n, 2): (n, 1), float64."""
        return self._solution(*x.double().split(1, dim=1))

    def _solution(self, t: Any, x: Any) -> Any:
        k1, k2 = map(math.sqrt, self.c)
        log_a = 2 * math.log((k1 - k2) / (k1 + k2))
        one, two = (
            k * (x - start - c * t) - log_a / 2 for k, c, start in zip((k1, k2), self.c, self.start, strict=True)
        )
        # Shares as products of logistic functions of bounded arguments: no exponential overflows, in float32 either.
        without, within = (
            (torch.sigmoid(one), torch.sigmoid(-one)),
            (torch.sigmoid(one + log_a), torch.sigmoid(-one - log_a)),
        )
        odds = two + torch.log(1 - (1 - math.exp(log_a)) * without[0])
        has, lacks = torch.sigmoid(odds), torch.sigmoid(-odds)
        shares = (
            (0.0, lacks * without[1]),
            (k1, lacks * without[0]),
            (k2, has * within[1]),
            (k1 + k2, has * within[0]),
        )
        pairs = [(p * q, (a - b) ** 2) for i, (a, p) in enumerate(shares) for b, q in shares[:i]]
        return 2 * sum(product * square for product, square in pairs)


def _residual(field: Field, x: Tensor, transport: float, dispersion: float) -> Tensor:
    t, along = partials(2)
    u, linear, u_x = field.derivatives(x, t + dispersion * along**3, along)
    return linear + transport * u * u_x


@cache
def cosine(eta: float, mu: float, *, modes: int = 200, h: float = 5e-5, end: float = 1.0) -> Series:
    """The solution from cos πx until ``end``, computed once a process (in two to three seconds)."""
    wavenumbers = math.pi * np.arange(modes + 1)
    points = fast_length(3 * modes + 1)  # so many that the square is free of aliasing

    def transport(state: np.ndarray) -> np.ndarray:
        u = np.asarray(np.fft.irfft(state, points, norm="forward"))
        return -0.5j * eta * wavenumbers * np.asarray(np.fft.rfft(u * u, norm="forward"))[: modes + 1]

    start = np.zeros(modes + 1, complex)
    start[1] = 0.5
    times = np.linspace(0, end, round(50 * end) + 1).tolist()
    return solve(1j * mu**2 * wavenumbers**3, transport, start, wavenumbers, times=times, degree=20, h=h, real=True)
