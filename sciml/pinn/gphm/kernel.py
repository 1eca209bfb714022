r"""Covariances with a learned spectrum, and their derivatives in closed form.

.. math:: \kappa(d) = \sum_q w_q\, \gamma(|d|; \ell_q) \cos(2\pi\mu_q d), \qquad w_q = e^{\omega_q}

Such a covariance is the Fourier transform of a mixture of bumps at the frequencies ±μ_q (Wiener-Khinchin): Student-t
bumps with five degrees of freedom give Matérn-5/2 envelopes γ = (1 + as + a²s²/3) e^{-as} with a = √5/ℓ; Gaussian
bumps give γ = e^{-bs²}, the spectral mixture of Wilson and Adams (2013). To fit log w_q instead of w_q is to put
Jeffreys' prior 1/w_q on the weight, which prunes components.

Source: Fang et al., "Solving High Frequency and Multi-Scale PDEs with Gaussian Processes", ICLR 2024 (arXiv
2311.04465), section 3; start values and the meaning of the width parameter after the authors' code,
``kernel_matrix.py``: log(1/ℓ_q) = 0 for the Matérn envelope, log b_q = 0 for the Gaussian one, w_q = 1/Q, and
frequencies equidistant on [0, F].

Derivatives are in closed form. The authors' automatic differentiation passes through |d|, whose slope at 0 counts as 0
there, so that their κ''(0) lacks γ''(0) = -a²/3. The n-th derivative follows from Leibniz' rule, with
cos⁽ʲ⁾(md) = mʲ cos(md + jπ/2).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from sciml.ranges import Count, NonNegative

MAX_ORDER = 4  # a Matérn-5/2 covariance has no fifth derivative at zero


def student_t(d: Tensor, log_scale: Tensor, order: int) -> list[Tensor]:
    """The Matérn-5/2 envelope with length exp(-log_scale) at signed distances, and its derivatives up to ``order``."""
    a = math.sqrt(5) * log_scale.exp()
    s = a * d.abs()
    e, c = torch.exp(-s), a.square() / 3
    found = [(1 + s + s.square() / 3) * e]
    if order >= 1:
        found.append(-c * d * (1 + s) * e)
    if order >= 2:
        found.append(-c * (1 + s - s.square()) * e)
    if order >= 3:
        found.append(c * a.square() * d * (3 - s) * e)
    if order >= 4:
        found.append(c * a.square() * (3 - 5 * s + s.square()) * e)
    return found


def gaussian(d: Tensor, log_scale: Tensor, order: int) -> list[Tensor]:
    """exp(-b d²) with b = exp(log_scale) at signed distances, and its derivatives up to ``order``."""
    b = log_scale.exp()
    found = [torch.exp(-b * d.square())]
    for n in range(order):
        # γ' = -2bd γ, differentiated n times.
        following = d * found[n]
        if n:
            following = following + n * found[n - 1]
        found.append(-2 * b * following)
    return found


ENVELOPES: dict[str, Callable[[Tensor, Tensor, int], list[Tensor]]] = {"student_t": student_t, "gaussian": gaussian}


class SpectralMixture(nn.Module):
    """A stationary covariance of one input.

    Args:
        spectrum: Shape of a bump of the spectrum, ``student_t`` or ``gaussian``.
        components: Number Q of bumps. One alone sits at frequency 0: a plain Matérn or squared exponential covariance.
        frequency: Highest frequency F at the start, cycles per unit of the input.
        scatter: Standard deviation of the start frequencies about their equidistant places, as a share of their
            distance; 0, the authors' start, has nothing random. The first stays at 0, where its slope is zero and it
            remains: without it slow parts of a solution, of which high derivatives know nothing, have no place.
        generator: Source of that randomness.
    """

    def __init__(
        self,
        *,
        spectrum: Literal["student_t", "gaussian"] = "student_t",
        components: Count = 30,
        frequency: NonNegative = 20.0,
        scatter: NonNegative = 0.0,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.envelope = ENVELOPES[spectrum]
        places = torch.linspace(0, 1, components, dtype=torch.float64) * frequency
        if scatter and components > 1:
            away = torch.randn(components, generator=generator, dtype=torch.float64)
            away[0] = 0
            places = places + scatter * frequency / (components - 1) * away
        self.log_weight = nn.Parameter(torch.full_like(places, -math.log(components)))
        self.log_scale = nn.Parameter(torch.zeros_like(places))
        self.mu = nn.Parameter(places)

    def forward(self, d: Tensor, order: int = 0) -> list[Tensor]:
        """κ, κ', ..., up to ``order`` (at most 4) at signed distances ``d`` of any shape."""
        if order > MAX_ORDER:
            raise ValueError(f"order {order}: derivatives of this covariance end at {MAX_ORDER}")
        d = d.unsqueeze(-1)
        m = 2 * math.pi * self.mu
        envelope = self.envelope(d, self.log_scale, order)
        phase = m * d
        cos, sin = torch.cos(phase), torch.sin(phase) if order else phase
        turned = (cos, -sin, -cos, sin)
        weight = self.log_weight.exp()
        found = []
        for n in range(order + 1):
            terms = [math.comb(n, j) * m**j * envelope[n - j] * turned[j % 4] for j in range(n + 1)]
            found.append((sum(terms[1:], start=terms[0]) * weight).sum(-1))
        return found
