"""Fields for tests of equations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sciml.equation.base import Equation
from sciml.pinn.jet import Jet


class Function(nn.Module):
    """A function of points (n, d), as a field that is differentiated by autograd."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def inside(equation: Equation, n: int = 200, seed: int = 0) -> Tensor:
    """Uniform points (n, d) of an equation's box."""
    unit = torch.rand(n, len(equation.inputs), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    lower, upper = (torch.tensor(corner, dtype=torch.float64) for corner in (equation.lower, equation.upper))
    return lower + (upper - lower) * unit


def residual(equation: Equation, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a function leaves of an equation at points."""
    return equation.residual(Jet(Function(function)), x).detach()
