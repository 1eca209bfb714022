r"""A classical solver as the ceiling of a table: Chebyshev collocation and Newton's method on an interval.

The equation holds at the interior ones of the points x_j = cos(πj/n), mapped to the interval, its derivatives those of
the interpolating polynomial, and the boundary values at the ends. Source: Trefethen, "Spectral Methods in MATLAB" (SIAM
2000), chapters 6 and 13; barycentric formula: Berrut and Trefethen, SIAM Review 46 (2004), equation (4.2).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.equation.operator import IDENTITY, Operator
from sciml.errors import ConfigError, RunError
from sciml.pinn.evaluation import errors
from sciml.pinn.gphm.field import Grid
from sciml.pinn.gphm.likelihood import observe
from sciml.pinn.gphm.profile import linearize
from sciml.pinn.jet import Jet
from sciml.pinn.problem.box import Box
from sciml.ranges import Count, Several

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEWTON = 30  # most steps; a linear equation needs one, and one more to see that it is solved
CHUNK = 2**20  # entries of an interpolation matrix held at a time


class Chebyshev(LightningModule):
    """An equation on an interval, solved by collocation and judged like a network.

    Args:
        problem: Equation of one input, with Dirichlet values at both ends.
        degree: Degree n of the polynomial, at least 2; π points a wavelength are too few.
        n_val: Points of the final residual.

    Raises:
        ConfigError: The problem has more inputs or other conditions.
    """

    def __init__(self, *, problem: Box, degree: Several = 1000, n_val: Count = 5000) -> None:
        super().__init__()
        if len(problem.equation.inputs) != 1:
            raise ConfigError(f"chebyshev solves on an interval, not for {', '.join(problem.equation.inputs)}")
        self.problem, self.degree, self.n_val, self.steps = problem, degree, n_val, 0

    def solve(self) -> Interpolant:
        """The collocated solution.

        Raises:
            RunError: Newton's method does not converge.
        """
        equation = self.problem.equation
        (name,), (low,), (high,) = equation.inputs, equation.lower, equation.upper
        unit = -torch.cos(math.pi * torch.arange(self.degree + 1, dtype=torch.float64) / self.degree)
        x = low + (high - low) * (unit + 1) / 2
        known = replace(observe(equation, self.problem.conditions, {name: len(x)}, weight=1.0), axes=(x,))
        first = differentiation(unit) * 2 / (high - low)
        powers = [torch.eye(len(x), dtype=torch.float64)]
        for _ in range(known.top[0]):
            powers.append(powers[-1] @ first)
        u, rows = torch.zeros_like(x), known.fixed
        for self.steps in range(1, NEWTON + 1):
            weights, right = linearize(known, Grid([powers], u))
            matrix = torch.stack([w.unsqueeze(1) * powers[k] for (k,), w in weights.items()]).sum(0)
            matrix[rows], right[rows] = powers[0][rows], known.values
            before, u = u, torch.linalg.solve(matrix, right)
            if (u - before).abs().max() <= 1e-9 * u.abs().max():
                return Interpolant(x, powers, u)
        raise RunError(f"Newton's method has not converged after {NEWTON} steps; pinn.degree may be too small")

    def test_step(self, batch: int, batch_idx: int) -> None:
        with torch.inference_mode(False):
            # The interpolant is asked for what a Jet is asked for there, values and derivatives of a field.
            field, like = cast("Jet", self.solve()), torch.zeros((), dtype=torch.float64)
            self.log_dict(errors(self.problem, field, like, n=self.n_val), batch_size=1)

    def test_dataloader(self) -> list[int]:
        return [0]

    def cost(self) -> dict[str, int]:
        """Steps of Newton's method."""
        return {"newton_steps": self.steps}

    def figures(self) -> dict[str, Figure]:
        """Solution, reference and error."""
        from sciml.pinn.gphm.figure import solution

        ((name, x),) = self.problem.axes.items()
        line = x.unsqueeze(1)
        true = self.problem.reference(line).squeeze(1) if self.problem.known else None
        return {"u": solution(name, x, self.solve()(line).squeeze(1), true)}


def differentiation(x: Tensor) -> Tensor:
    """The matrix (n+1, n+1) of differentiation at x_j = -cos(πj/n): Trefethen's ``cheb``, on ascending points."""
    n = len(x) - 1
    c = torch.ones_like(x)
    c[[0, n]] = 2
    c[1::2] *= -1
    matrix = torch.outer(c, 1 / c) / (x.unsqueeze(1) - x + torch.eye(n + 1, dtype=x.dtype))
    # Rows sum to zero, as a constant has no slope: more accurate than the formulas for the diagonal.
    return matrix - torch.diag(matrix.sum(1))


class Interpolant:
    """A polynomial given at Chebyshev points, as a field.

    Args:
        x: The points (n+1,), ascending.
        powers: Matrices of the derivatives there, of order 0, 1, ...
        values: Of the polynomial (n+1,).
    """

    def __init__(self, x: Tensor, powers: list[Tensor], values: Tensor) -> None:
        self.x, self.grid = x, Grid([powers], values)
        self.weights = torch.ones_like(x)
        self.weights[1::2] = -1
        self.weights[[0, -1]] /= 2

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, 1) at points (n, 1)."""
        return self.derivatives(x)[0]

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        """Values (n, 1) at points (n, 1), then each operator applied to the polynomial."""
        columns = torch.stack([self.grid.apply(operator) for operator in (IDENTITY, *operators)], dim=1)
        parts = [self._matrix(part) @ columns for part in x[:, 0].split(max(1, CHUNK // len(self.x)))]
        return tuple(torch.cat(parts).unsqueeze(-1).unbind(1))

    def _matrix(self, x: Tensor) -> Tensor:
        away = x.unsqueeze(1) - self.x
        matrix = self.weights / away
        hit = away == 0
        matrix = torch.where(hit.any(1, keepdim=True), hit.to(matrix), matrix)
        return matrix / matrix.sum(1, keepdim=True)
