r"""Textbook solvers, as the ceiling of tables of learned ones: how good is an afternoon's code, in how many seconds.

In time: the method of lines, second differences in space and the classical Runge-Kutta method. In space alone:
collocation at Chebyshev points (Trefethen, "Spectral Methods in MATLAB", 2000, chapters 6 and 7), Gauss-Newton on the
equation and the boundary values together. None is tuned; they are what a learned solver must be held against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sciml.equation.operator import Operator

if TYPE_CHECKING:
    from sciml.equation.base import Equation


def runge_kutta(
    slope: Callable[[float, np.ndarray], np.ndarray], start: np.ndarray, times: np.ndarray, step: float
) -> np.ndarray:
    """The states at ``times`` by the classical method of fourth order.

    Args:
        slope: f of u' = f(t, u).
        start: u at the first time.
        times: Increasing.
        step: Largest step.
    """
    found, u = [start], start
    for begin, end in pairwise(times):
        n = math.ceil((end - begin) / step)
        h = (end - begin) / n
        for i in range(n):
            t = begin + i * h
            k1 = slope(t, u)
            k2 = slope(t + h / 2, u + h / 2 * k1)
            k3 = slope(t + h / 2, u + h / 2 * k2)
            k4 = slope(t + h, u + h * k3)
            u = u + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        found.append(u)
    return np.stack(found)


def on_grid(solution: Callable[[Tensor], Tensor], axes: Sequence[Tensor]) -> Tensor:
    """Values (product of the n_i, m) on the grid with these axes (n_i,), the last one fastest."""
    return solution(torch.cartesian_prod(*axes).reshape(-1, len(axes)))


def chebyshev(equation: Equation, degree: int, *, iterations: int = 12) -> Callable[[Tensor], Tensor]:
    """The solution of a stationary equation on its box, a polynomial.

    Args:
        equation: Its residual at all points and its boundary values are met in least squares.
        degree: In each input.
        iterations: At most; a step below 1e-9 ends it.

    Returns:
        The polynomial: values (k, m) at points (k, d).
    """
    lines, matrices, weights = zip(*(_line(a, b, degree) for a, b in _sides(equation)), strict=True)
    x = torch.cartesian_prod(*lines).reshape(-1, len(lines))
    lower, upper = (torch.tensor(corner, dtype=torch.float64) for corner in (equation.lower, equation.upper))
    edge = ((x == lower) | (x == upper)).any(dim=1)
    prescribed = equation.boundary(x[edge])
    lattice = _Lattice(matrices, degree + 1)

    def leaves(values: Tensor) -> Tensor:
        lattice.values = values.reshape(len(x), -1)
        # On the edges too: without continuity there, the pressure of a flow is not unique.
        return torch.cat([equation.residual(lattice, x).flatten(), (lattice.values[edge] - prescribed).flatten()])

    u = torch.zeros(len(x) * len(equation.outputs), dtype=torch.float64)
    for _ in range(iterations):
        jacobian = torch.autograd.functional.jacobian(leaves, u, vectorize=True)
        step = torch.linalg.lstsq(jacobian, leaves(u).unsqueeze(1)).solution.squeeze(1)  # type: ignore[arg-type]
        u = u - step
        if step.abs().max() < 1e-9:
            break
    values = u.reshape(*[degree + 1] * len(lines), -1)

    def polynomial(points: Tensor) -> Tensor:
        found = values
        for axis, (line, weight) in enumerate(zip(lines, weights, strict=True)):
            basis = _barycentric(points[:, axis].double(), line, weight)
            found = torch.einsum("ka,a...->k..." if axis == 0 else "ka,ka...->k...", basis, found)
        return found

    return polynomial


class _Lattice:
    """Values at a lattice as a field whose derivatives are matrix products."""

    def __init__(self, matrices: tuple[Tensor, ...], points: int) -> None:
        eye = torch.eye(points, dtype=torch.float64)
        self._along = []
        for axis in range(len(matrices)):
            product = torch.ones(1, 1, dtype=torch.float64)
            for other in range(len(matrices)):
                product = torch.kron(product, matrices[axis] if other == axis else eye)
            self._along.append(product)
        self._made: dict[Operator, Tensor] = {}
        self.values = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        return self.values

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        return self.values, *(self._matrix(operator) @ self.values for operator in operators)

    def _matrix(self, operator: Operator) -> Tensor:
        if operator not in self._made:
            total = torch.zeros_like(self._along[0])
            for axes, c in operator.terms.items():
                product = self._along[axes[0]]
                for axis in axes[1:]:
                    product = product @ self._along[axis]
                total = total + c * product
            self._made[operator] = total
        return self._made[operator]


def _sides(equation: Equation) -> list[tuple[float, float]]:
    return list(zip(equation.lower, equation.upper, strict=True))


def _line(start: float, end: float, degree: int) -> tuple[Tensor, Tensor, Tensor]:
    """Chebyshev points of an interval, their differentiation matrix and barycentric weights."""
    k = torch.arange(degree + 1, dtype=torch.float64)
    s = -torch.cos(math.pi / degree * k)
    weight = (-1.0) ** k
    weight[[0, -1]] /= 2
    gaps = s.unsqueeze(1) - s + torch.eye(degree + 1, dtype=torch.float64)
    matrix = weight / weight.unsqueeze(1) / gaps
    matrix.fill_diagonal_(0)
    matrix -= torch.diag(matrix.sum(dim=1))
    points = start + (end - start) / 2 * (s + 1)
    points[[0, -1]] = torch.tensor([start, end], dtype=torch.float64)
    return points, matrix * (2 / (end - start)), weight


def _barycentric(at: Tensor, points: Tensor, weight: Tensor) -> Tensor:
    """Values of the Lagrange polynomials of ``points`` (n,) at ``at`` (k,): (k, n)."""
    gap = at.unsqueeze(1) - points
    hit = gap == 0
    share = weight / torch.where(hit, torch.ones_like(gap), gap)
    share = share / share.sum(dim=1, keepdim=True)
    return torch.where(hit.any(dim=1, keepdim=True), hit.to(share.dtype), share)
