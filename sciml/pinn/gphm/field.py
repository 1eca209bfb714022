r"""A function on a grid whose derivatives are linear in one tensor of coefficients.

With values U of a Gaussian process on the grid x_1 × ... × x_d, covariance κ = Π_a κ_a and C_a = κ_a(x_a, x_a) + εI,
the conditional mean is

.. math:: m(x) = \sum_{i_1 \ldots i_d} A_{i_1 \ldots i_d} \prod_a \kappa_a(x_a - x_{a,i_a}), \qquad
          A = U \times_1 C_1^{-1} \cdots \times_d C_d^{-1},

and its derivatives are those of κ_a (Fang et al. 2024, arXiv 2311.04465, section 3). No matrix is larger than
n_a × n_a. Both classes are fields as equations understand them (``sciml.equation.base.Field``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.equation.operator import IDENTITY, Operator
from sciml.pinn.gphm.between import between
from sciml.pinn.gphm.kernel import SpectralMixture
from sciml.pinn.gphm.toeplitz import Toeplitz


def along(maps: Sequence[Callable[[Tensor], Tensor]], tensor: Tensor) -> Tensor:
    """The tensor with its a-th axis changed by the a-th map of columns (n, m), for every axis."""
    for axis, change in enumerate(maps):
        moved = tensor.movedim(axis, 0)
        changed = change(moved.reshape(len(moved), -1))
        tensor = changed.reshape(len(changed), *moved.shape[1:]).movedim(0, axis)  # of no points too
    return tensor


def product(matrices: Sequence[Tensor | Toeplitz], tensor: Tensor) -> Tensor:
    """The tensor with its a-th axis multiplied by the a-th matrix, for every axis."""
    if len(matrices) == 1:
        return matrices[0] @ tensor
    return along([matrix.__matmul__ for matrix in matrices], tensor)


def orders(axes: tuple[int, ...], d: int) -> tuple[int, ...]:
    """How often a term of an operator differentiates along each of ``d`` axes."""
    return tuple(axes.count(axis) for axis in range(d))


class Grid:
    """The conditional mean on its own grid.

    Args:
        matrices: Of each axis, the matrices κ⁽ᵏ⁾(x_i - x_j), k = 0, 1, ..., (n_a, n_a).
        coefficients: A, (n_1, ..., n_d).
    """

    def __init__(self, matrices: Sequence[Sequence[Tensor | Toeplitz]], coefficients: Tensor) -> None:
        self.matrices, self.coefficients = matrices, coefficients

    def apply(self, operator: Operator) -> Tensor:
        """The operator applied to the mean, (n_1, ..., n_d)."""
        d = len(self.matrices)
        parts = [
            c * product([m[k] for m, k in zip(self.matrices, orders(axes, d), strict=True)], self.coefficients)
            for axes, c in operator.terms.items()
        ]
        return sum(parts[1:], start=parts[0])

    def __call__(self, x: Tensor) -> Tensor:
        """Values at the grid's points, which is what ``x`` (n, d) must be, the last axis fastest: (n, 1)."""
        return self.apply(IDENTITY).reshape(-1, 1)

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        """Values and derivatives at the grid's points, (n, 1) each."""
        return tuple(self.apply(operator).reshape(-1, 1) for operator in (IDENTITY, *operators))


class ConditionalMean:
    """The conditional mean anywhere.

    Args:
        kernels: One an axis.
        axes: Coordinates of the grid along each axis, (n_a,).
        coefficients: A, (n_1, ..., n_d), without graph.
    """

    def __init__(self, kernels: Sequence[SpectralMixture], axes: Sequence[Tensor], coefficients: Tensor) -> None:
        self.kernels, self.axes, self.coefficients = kernels, axes, coefficients

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, 1) at points (n, d)."""
        return self.derivatives(x)[0]

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        """Values at points (n, d), then each operator applied to the mean, (n, 1) and without graph.

        Raises:
            ValueError: The points have another number of coordinates than the grid has axes.
        """
        d = len(self.axes)
        if x.dim() != 2 or x.shape[1] != d:
            raise ValueError(f"a grid of {d} axes is asked for points (n, {d}), not {tuple(x.shape)}")
        with torch.no_grad():
            # Points of a grid share their coordinates: each is evaluated once.
            unique = [torch.unique(column, return_inverse=True) for column in x.to(self.coefficients).unbind(-1)]
            top = [max((orders(t, d)[a] for o in operators for t in o.terms), default=0) for a in range(d)]
            rows = [
                between(kernel, line, axis, order)
                for kernel, (line, _), axis, order in zip(self.kernels, unique, self.axes, top, strict=True)
            ]
            places = [inverse for _, inverse in unique]
            whole = math.prod(len(line) for line, _ in unique) <= 4 * len(x)
            evaluate = _on_product if whole else _point_by_point
            found = []
            for operator in (IDENTITY, *operators):
                value = x.new_zeros(len(x), dtype=self.coefficients.dtype)
                for axes, c in operator.terms.items():
                    chosen = [row[k] for row, k in zip(rows, orders(axes, d), strict=True)]
                    value += c * evaluate(chosen, places, self.coefficients)
                found.append(value.unsqueeze(-1))
        return tuple(found)


def _on_product(rows: Sequence[Tensor], places: Sequence[Tensor], coefficients: Tensor) -> Tensor:
    return product(rows, coefficients)[tuple(places)]


def _point_by_point(rows: Sequence[Tensor], places: Sequence[Tensor], coefficients: Tensor) -> Tensor:
    found = torch.tensordot(rows[0][places[0]], coefficients, dims=1)
    for row, place in zip(rows[1:], places[1:], strict=True):
        found = torch.einsum("pi,pi...->p...", row[place], found)
    return found
