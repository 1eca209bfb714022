r"""The log joint probability of values on a grid, boundary values and equation, as its negative terms.

.. math::
    -\log p = \tfrac12 \log\det C + \tfrac12 \mathrm{vec}(U)^T C^{-1} \mathrm{vec}(U)
        - \lambda \left(\tfrac{N_b}2 \log\tau_1 - \tfrac{\tau_1}2 \|m_b - g\|^2\right)
        - \left(\tfrac{N}2 \log\tau_2 - \tfrac{\tau_2}2 \|R[m]\|^2\right) + const

with C = C_1 ⊗ ... ⊗ C_d, the conditional mean m given U (:mod:`sciml.pinn.gphm.field`), boundary values g and the
equation's residual R on the grid. Source: Fang et al. 2024 (arXiv 2311.04465), section 3; λ is ``llk_weight`` of the
authors' code.

One deviation. The authors' code takes U itself where a value is asked for (at the boundary and in nonlinear terms) and
the conditional mean for derivatives only. U - m = εA is small, but A is free to grow where values are prescribed,
and then boundary values are met by U and missed by the function that solves the equation. Here m has both parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sciml.equation.base import Equation
from sciml.equation.operator import IDENTITY, Operator
from sciml.errors import ConfigError, RunError
from sciml.pinn.condition import Condition, Dirichlet, Initial
from sciml.pinn.gphm.field import Grid, along, orders
from sciml.pinn.gphm.kernel import MAX_ORDER, SpectralMixture
from sciml.pinn.gphm.toeplitz import Root, Toeplitz, solve


@dataclass(frozen=True)
class Observations:
    """What is known of the solution: the equation at all points of a grid, values at some.

    Args:
        equation: The equation.
        axes: Equidistant coordinates of the grid along each axis.
        fixed: Where values are prescribed, (n_1, ..., n_d), boolean.
        values: Prescribed values there, (n_b,), in the order of ``fixed``.
        operators: What the residual asks of its field.
        weight: λ, the weight of the boundary likelihood.
    """

    equation: Equation
    axes: tuple[Tensor, ...]
    fixed: Tensor
    values: Tensor
    operators: tuple[Operator, ...]
    weight: float

    def to(self, device: torch.device) -> Observations:
        """The same on another device."""
        axes = tuple(axis.to(device) for axis in self.axes)
        return replace(self, axes=axes, fixed=self.fixed.to(device), values=self.values.to(device))

    @property
    def points(self) -> Tensor:
        """The grid's points (N, d), the last axis fastest."""
        return torch.cartesian_prod(*self.axes).reshape(-1, len(self.axes))

    @property
    def top(self) -> tuple[int, ...]:
        """Highest order of a derivative along each axis."""
        d = len(self.axes)
        terms = [orders(axes, d) for operator in self.operators for axes in operator.terms]
        return tuple(max((term[a] for term in terms), default=0) for a in range(d))


class _Asked:
    """A field that vanishes, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.operators: dict[Operator, None] = {}

    def __call__(self, x: Tensor) -> Tensor:
        return x.new_zeros(len(x), 1)

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        self.operators |= dict.fromkeys(operators)
        return tuple(x.new_zeros(len(x), 1) for _ in (None, *operators))


def observe(
    equation: Equation, conditions: dict[str, Condition], points: dict[str, int], *, weight: float
) -> Observations:
    """Lay a grid over the domain, and see what is prescribed on it.

    Args:
        equation: An equation of one unknown.
        conditions: Values on faces of the box, ``Dirichlet`` or ``Initial``.
        points: Number of points along each input, by its name, at least 3.
        weight: λ.

    Raises:
        ConfigError: More than one unknown or equation, a condition that is not about values, no condition, a grid
            that does not name the inputs or is too small, or a derivative that the covariance does not have.
    """
    if len(equation.outputs) != 1:
        raise ConfigError(f"{type(equation).__name__} has unknowns {', '.join(equation.outputs)}; gphm solves for one")
    if set(points) != set(equation.inputs) or min(points.values()) < 3:
        names = ", ".join(equation.inputs)
        raise ConfigError(f"pinn.points must give each input ({names}) a number of at least 3, not {points}")
    corners = zip(equation.inputs, equation.lower, equation.upper, strict=True)
    axes = tuple(torch.linspace(low, high, points[name], dtype=torch.float64) for name, low, high in corners)
    shape = tuple(len(axis) for axis in axes)
    x = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    fixed, values = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.float64)
    for name, condition in conditions.items():
        here = torch.zeros(shape, dtype=torch.bool)
        if type(condition) is Dirichlet:
            for axis in equation.space:
                here.movedim(axis, 0)[[0, -1]] = True
            prescribed = equation.boundary(x)
        elif type(condition) is Initial:
            here[0] = True
            prescribed = condition.residual(equation, x, torch.zeros(len(x), 1, dtype=x.dtype)).neg()
        else:
            kind = type(condition).__name__
            raise ConfigError(f"condition '{name}' is {kind}; gphm takes values on faces, Dirichlet or Initial")
        values[here] = prescribed.reshape(shape)[here]
        fixed |= here
    if not fixed.any():
        raise ConfigError("pinn.problem.conditions is empty; gphm needs values on some face")
    asked = _Asked()
    if equation.residual(asked, x).numel() != len(x):
        raise ConfigError(f"{type(equation).__name__} is a system; gphm solves one equation")
    found = Observations(equation, axes, fixed, values[fixed], tuple(asked.operators), weight)
    if max(found.top) > MAX_ORDER:
        raise ConfigError(
            f"{type(equation).__name__} has derivatives of order {max(found.top)}; gphm goes to {MAX_ORDER}"
        )
    return found


class Covariance:
    """What a step needs of the covariances: their values and derivatives on the grid, and square roots C_a = S_a S_aᵀ.

    Args:
        kernels: One an axis.
        axes: Coordinates of the grid.
        top: Highest order of a derivative along each axis.
        jitter: ε.

    Attributes:
        matrices: Of each axis, the matrices of κ⁽ᵏ⁾, with graph to the columns.
        roots: Of each axis, the square root of C_a, without graph.

    Raises:
        RunError: Some C_a is not positive definite.
    """

    def __init__(
        self, kernels: Sequence[SpectralMixture], axes: Sequence[Tensor], top: Sequence[int], jitter: float
    ) -> None:
        columns = [k(axis - axis[0], order) for k, axis, order in zip(kernels, axes, top, strict=True)]
        self.matrices = [[Toeplitz(c, (-1) ** k) for k, c in enumerate(line)] for line in columns]
        self.roots = [_root(line[0].detach(), jitter) for line in columns]

    def coefficients(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """A of the conditional mean given U (n_1, ..., n_d), and log det C."""
        logdet = values.new_zeros(())
        for axis, (matrices, root) in enumerate(zip(self.matrices, self.roots, strict=True)):
            moved = values.movedim(axis, 0)
            solved, part = solve(matrices[0].column, root, moved.reshape(len(moved), -1))
            logdet = logdet + part * (values.numel() / len(moved))
            values = solved.reshape(moved.shape).movedim(0, axis)
        return values, logdet

    def values(self, z: Tensor) -> Tensor:
        """U = Z ×_a S_a, without graph."""
        return along([root.colour for root in self.roots], z)

    def whitened(self, values: Tensor) -> Tensor:
        """Z = U ×_a S_a⁻¹, without graph."""
        return along([root.whiten for root in self.roots], values)

    def from_whitened(self, z: Tensor) -> Tensor:
        """A = Z ×_a S_a⁻ᵀ, without graph."""
        return along([root.adjoint for root in self.roots], z)


def _root(column: Tensor, jitter: float) -> Root:
    column = column.clone()
    column[0] += jitter
    try:
        return Root(column)
    except torch.linalg.LinAlgError as error:
        raise RunError(
            f"the covariance of {len(column)} points is not positive definite in float64 (variance"
            f" {float(column[0]):.2g}, pinn.jitter {jitter:g}); a larger jitter or a lower learning rate would help"
        ) from error


def negative_log_joint(
    covariance: Covariance, observations: Observations, values: Tensor, log_tau: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The three terms, and how well the observations are met.

    Args:
        covariance: Of the grid.
        observations: What is known.
        values: U, (n_1, ..., n_d).
        log_tau: log τ_1 and log τ_2, (2,).

    Returns:
        ``prior``, ``boundary`` and ``equation``, whose sum is -log p up to a constant; and the sums of squares
        ``boundary`` and ``equation``, without graph.
    """
    coefficients, logdet = covariance.coefficients(values)
    field = Grid(covariance.matrices, coefficients)
    missed = (field.apply(IDENTITY)[observations.fixed] - observations.values).square().sum()
    left = observations.equation.residual(field, observations.points).square().sum()
    (log_1, log_2), n_b = log_tau.unbind(), observations.values.numel()
    terms = {
        "prior": 0.5 * logdet + 0.5 * (values * coefficients).sum(),
        "boundary": -0.5 * observations.weight * (n_b * log_1 - log_1.exp() * missed),
        "equation": -0.5 * (values.numel() * log_2 - log_2.exp() * left),
    }
    return terms, {"boundary": missed.detach(), "equation": left.detach()}
