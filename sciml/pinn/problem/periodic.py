"""Initial-value problem with periodic boundary: an equation on t × x, u(0, x) = u_0(x), u(t, lower) = u(t, upper).

Three conditions: ``residual`` of the equation in the interior, ``initial`` values on an equidistant grid without
its right end (the same point as the left end), and ``boundary``, the difference of both ends of space at
equidistant times. The two grids are fixed, as in Daw et al. 2023 (arXiv 2207.02338), who use the axes of the
evaluation grid; the solution on it is the reference of every error.

Only the values are matched at the boundary, which is all that a first-order equation needs.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.equation.base import Equation
from sciml.pinn.base import Points, Problem
from sciml.pinn.jet import Jet


class Periodic(Problem):
    """A periodic initial-value problem in one space dimension.

    Args:
        equation: Equation with inputs (time, space), of first order in space.
        n_x: Points of the space axis (end excluded): initial points and evaluation grid.
        n_t: Points of the time axis (both ends included): boundary pairs and evaluation grid.
    """

    interior = "residual"

    def __init__(self, *, equation: Equation, n_x: int = 512, n_t: int = 251) -> None:
        self.equation = equation
        self.n_x, self.n_t = n_x, n_t
        self.in_features, self.out_features = len(equation.inputs), len(equation.outputs)
        self.outputs = equation.outputs
        t, x = self._axes(torch.device("cpu"))
        self.axes = dict(zip(equation.inputs, (t, x), strict=True))

    def _axes(self, device: torch.device) -> tuple[Tensor, Tensor]:
        (t0, x0), (t1, x1) = self.equation.lower, self.equation.upper
        t = torch.linspace(t0, t1, self.n_t, dtype=torch.float64, device=device)
        x = torch.linspace(x0, x1, self.n_x + 1, dtype=torch.float64, device=device)[:-1]
        return t, x

    def sample(self, n: int, generator: Generator) -> Points:
        """``residual`` (n, 2) uniform in the box, ``initial`` (n_x, 2), ``boundary`` (n_t, 2, 2): (left, right)."""
        (t0, x0), (t1, x1) = self.equation.lower, self.equation.upper
        t, x = self._axes(generator.device)
        unit = torch.rand(n, 2, generator=generator, dtype=torch.float64, device=generator.device)
        ends = [torch.stack([t, torch.full_like(t, end)], dim=1) for end in (x0, x1)]
        return {
            "residual": torch.stack([t0 + (t1 - t0) * unit[:, 0], x0 + (x1 - x0) * unit[:, 1]], dim=1),
            "initial": torch.stack([torch.full_like(x, t0), x], dim=1),
            "boundary": torch.stack(ends, dim=1),
        }

    def residuals(self, jet: Jet, points: Points) -> dict[str, Tensor]:
        """The residual of each condition in ``points``."""
        found: dict[str, Tensor] = {}
        if "residual" in points:
            found["residual"] = self.equation.residual(jet, points["residual"])
        # Both conditions need values only: one pass for both.
        flat = {name: x.flatten(0, -2) for name, x in points.items() if name != "residual"}
        if flat:
            parts = jet(torch.cat(list(flat.values()))).split([len(x) for x in flat.values()])
            values = dict(zip(flat, parts, strict=True))
            if "initial" in values:
                found["initial"] = values["initial"] - self.equation.initial(points["initial"])
            if "boundary" in values:
                left, right = values["boundary"].unflatten(0, (-1, 2)).unbind(1)
                found["boundary"] = left - right
        return found

    def reference(self, x: Tensor) -> Tensor:
        """The equation's solution."""
        return self.equation.reference(x)
