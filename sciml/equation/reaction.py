r"""Reaction: ∂u/∂t = ρ u (1 − u) on t ∈ [0, 1], x ∈ [0, 2π], periodic, u(0, x) = h(x) = exp(−8 (x/π − 1)²).

Each place is on its own, and grows from h to one: u = h e^{ρt} / (h e^{ρt} + 1 − h). A plain physics-informed network
finds u = 0, which solves the equation as well. h has the value e^{−8} at both ends, and a slope of its own at each:
only values are periodic.

Source: Krishnapriyan, Gholami, Zhe, Kirby and Mahoney, "Characterizing possible failure modes in physics-informed
neural networks", NeurIPS 2021 (arXiv 2109.01050), appendix A, equations (14), (15) and (17); ρ = 5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from sciml.equation.base import Evolution, Field
from sciml.equation.classical import runge_kutta
from sciml.equation.operator import partials


class Reaction(Evolution):
    """Logistic growth at every place.

    Args:
        rho: Rate ρ (per time); 5 in the standard test.
    """

    inputs = ("t", "x")
    outputs = ("u",)
    lower = (0.0, 0.0)
    upper = (1.0, 2 * math.pi)

    def __init__(self, *, rho: float = 5.0) -> None:
        self.rho = rho

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """∂u/∂t − ρ u (1 − u) at ``x`` (n, 2): (n, 1)."""
        u, u_t = field.derivatives(x, partials(2)[0])
        return u_t - self.rho * u * (1 - u)

    def initial(self, x: Tensor) -> Tensor:
        """Gauss' bell h at ``x`` (n, 2): (n, 1)."""
        return _bell(x[:, 1:])

    def ansatz(self, free: Any, x: Any) -> Any:
        """It is h + t free; the boundary's values are not built in."""
        return _bell(x[:, 1:]) + x[:, :1] * free

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """Runge-Kutta at every place, with steps of at most 1/100."""
        start = self.initial(torch.stack([axes[1], axes[1]], dim=1))[:, 0].numpy()
        u = runge_kutta(lambda _, u: self.rho * u * (1 - u), start, axes[0].numpy(), 0.01)
        return torch.from_numpy(u).reshape(-1, 1)

    def reference(self, x: Tensor) -> Tensor:
        """The solution at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        h, growth = _bell(x[:, 1:]), torch.exp(self.rho * x[:, :1])
        return h * growth / (h * growth + 1 - h)


def _bell(x: Any) -> Any:
    return torch.exp(-8 * (x * (1 / math.pi) - 1) ** 2)
