r"""Kovasznay flow: the steady incompressible Navier-Stokes equations behind a grid, unknowns u, v and pressure p.

    u ∂u/∂x + v ∂u/∂y + ∂p/∂x = ν Δu ,   u ∂v/∂x + v ∂v/∂y + ∂p/∂y = ν Δv ,   ∂u/∂x + ∂v/∂y = 0 ,   ν = 1 / Re

on [−1/2, 1] x [−1/2, 3/2]. With λ = Re/2 − √(Re²/4 + 4π²),

    u = 1 − e^{λx} cos 2πy ,   v = λ/(2π) e^{λx} sin 2πy ,   p = (1 − e^{2λx}) / 2 .

Source: Kovasznay, "Laminar flow behind a two-dimensional grid", Proc. Camb. Phil. Soc. 44 (1948),
doi:10.1017/S0305004100023999. All three unknowns are prescribed on the boundary, as in Liu, Chu and Thuerey, "ConFIG",
arXiv 2408.11104, and their code; others prescribe p at the outflow only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.equation.base import Equation, Field
from sciml.equation.operator import laplacian, partials
from sciml.ranges import Positive


class Kovasznay(Equation):
    """Kovasznay's solution of the Navier-Stokes equations.

    Args:
        reynolds: Reynolds number Re; 40 in the standard test.
    """

    inputs = ("x", "y")
    outputs = ("u", "v", "p")
    lower = (-0.5, -0.5)
    upper = (1.0, 1.5)

    def __init__(self, *, reynolds: Positive = 40.0) -> None:
        self.reynolds = reynolds
        self.rate = reynolds / 2 - math.sqrt(reynolds**2 / 4 + 4 * math.pi**2)

    def residual(self, field: Field, x: Tensor) -> Tensor:
        """Momentum along x and y, and continuity, at ``x`` (n, 2): (n, 3)."""
        along_x, along_y = partials(2)
        w, w_x, w_y, diffused = field.derivatives(
            x, along_x, along_y, (1 / self.reynolds) * laplacian(along_x, along_y)
        )
        transported = w[:, :1] * w_x + w[:, 1:2] * w_y - diffused
        return torch.stack(
            [transported[:, 0] + w_x[:, 2], transported[:, 1] + w_y[:, 2], w_x[:, 0] + w_y[:, 1]], dim=-1
        )

    def reference(self, x: Tensor) -> Tensor:
        """u, v and p at ``x`` (n, 2): (n, 3), float64."""
        along, across = x.double().unbind(-1)
        decay = torch.exp(self.rate * along)
        u = 1 - decay * torch.cos(2 * math.pi * across)
        v = self.rate / (2 * math.pi) * decay * torch.sin(2 * math.pi * across)
        return torch.stack([u, v, (1 - decay**2) / 2], dim=-1)
