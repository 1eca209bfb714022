r"""The most probable values on the grid, given the covariance and both precisions.

In whitened values Z, U = Z ×_a S_a with C_a = S_a S_aᵀ, the log joint is a least-squares problem,

.. math:: \min_Z \tfrac12 \|Z\|^2 + \tfrac{\lambda\tau_1}2 \|P_b Z - g\|^2 + \tfrac{\tau_2}2 \|R(Z)\|^2,

linear for a linear equation and linearised at the present values (one Gauss-Newton step) for another one: the residual
is a function of the field's value and derivatives at a point, so its Jacobian is Σ_t diag(w_t) ⊗_a P_a⁽ᵗᵃ⁾ with
P_a⁽ᵏ⁾ = κ_a⁽ᵏ⁾ S_a⁻ᵀ, and automatic differentiation gives the w_t.

On one axis the normal equations are factorised, and the factor preconditions conjugate gradients on the least-squares
problem, whose rounding errors depend on its condition number and not on the square. Derivatives of even order with
weights that are the same everywhere, and values prescribed at both ends, take even functions to even ones and odd ones
to odd ones: then S, which knows the two apart (:class:`sciml.pinn.gphm.toeplitz.Root`), leaves two problems of half the
size, and the products and factorisations cost a quarter. On several axes the matrix is never
formed: conjugate gradients with the exact diagonal of the normal equations in the basis of each axis in which the
Gram matrix of its highest derivative is diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.linalg import solve_triangular

from sciml.equation.operator import IDENTITY, Operator
from sciml.pinn.gphm.field import Grid, orders, product
from sciml.pinn.gphm.likelihood import Covariance, Observations
from sciml.pinn.gphm.toeplitz import Root, Toeplitz, halves, reflect

TOLERANCE = 1e-12  # of the preconditioned gradient, relative to the first

SMALLEST = 1e-3  # share of a step below which none is taken


class _Linear(NamedTuple):
    """Square roots S_a, matrices of κ_a⁽ᵏ⁾, weights w_t, where values are fixed, √τ_2 and √(λτ_1)."""

    roots: list[Root]
    matrices: list[list[Toeplitz]]
    weights: dict[tuple[int, ...], Tensor]
    fixed: Tensor
    scale_e: Tensor
    scale_b: Tensor


class _Leaves:
    """A field whose values and derivatives at given points are given."""

    def __init__(self, found: dict[Operator, Tensor]) -> None:
        self.found = found

    def __call__(self, x: Tensor) -> Tensor:
        return self.found[IDENTITY]

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        return tuple(self.found[operator] for operator in (IDENTITY, *operators))


def linearize(observations: Observations, field: Grid) -> tuple[dict[tuple[int, ...], Tensor], Tensor]:
    """R(m) ≈ Σ_t w_t ∂ᵗm - y about a field.

    Returns:
        w_t (n_1, ..., n_d) by the orders t of differentiation along the axes, those that vanish left out; and y.
    """
    d, shape = len(observations.axes), observations.fixed.shape
    operators = (IDENTITY, *observations.operators)
    leaves = {o: field.apply(o).detach().reshape(-1, 1).requires_grad_() for o in operators}
    with torch.enable_grad():
        residual = observations.equation.residual(_Leaves(leaves), observations.points)
        slopes = torch.autograd.grad(residual.sum(), [*leaves.values()], allow_unused=True)
    y = -residual.detach()
    weights: dict[tuple[int, ...], Tensor] = {}
    for (operator, value), slope in zip(leaves.items(), slopes, strict=True):
        if slope is None or not slope.any():
            continue
        y = y + slope * value.detach()
        for axes, c in operator.terms.items():
            key = orders(axes, d)
            weights[key] = weights.get(key, 0) + c * slope.reshape(shape)
    return weights, y.reshape(shape)


def most_probable(
    covariance: Covariance, observations: Observations, starts: Sequence[Tensor], log_tau: Tensor, *, iterations: int
) -> tuple[Tensor, int]:
    """One Gauss-Newton step; its end is the maximum itself if the equation is linear.

    Args:
        covariance: Of the grid.
        observations: What is known.
        starts: Some Z, (n_1, ..., n_d); the step begins at the most probable of them.
        log_tau: log τ_1 and log τ_2, (2,).
        iterations: Most iterations of conjugate gradients.

    Returns:
        The new Z, without graph, and how many iterations it took.
    """
    with torch.no_grad():
        scale_b, scale_e = (observations.weight * log_tau[0].exp()).sqrt(), (0.5 * log_tau[1]).exp()

        def height(z: Tensor) -> Tensor:
            field = Grid(covariance.matrices, covariance.from_whitened(z))
            missed = field.apply(IDENTITY)[observations.fixed] - observations.values
            left = observations.equation.residual(field, observations.points)
            return z.square().sum() + (scale_b * missed).square().sum() + (scale_e * left).square().sum()

        before, z = min(((height(start), start) for start in starts), key=lambda pair: float(pair[0]))
        weights, y = linearize(observations, Grid(covariance.matrices, covariance.from_whitened(z)))
        problem = _OneAxis if z.dim() == 1 else _Axes
        system = problem(_Linear(covariance.roots, covariance.matrices, weights, observations.fixed, scale_e, scale_b))
        found, taken = _least_squares(system, system.data(y, observations.values), system.into(z), iterations)
        step = system.out_of(found) - z
        # A linearised equation may promise too much far from the maximum; a linear one keeps its promise.
        share = 1.0
        while share > SMALLEST and not height(z + share * step) <= before:
            share /= 2
        return (z + share * step if share > SMALLEST else z), taken


def _least_squares(system: _OneAxis | _Axes, right: Tensor, z: Tensor, iterations: int) -> tuple[Tensor, int]:
    """Minimise ½|z|² + ½|Jz - b|² by preconditioned conjugate gradients.

    CGLS: Björck, "Numerical Methods for Least Squares Problems" (1996), algorithm 7.4.1. Once rounding errors are the
    gradient, its step length, which takes directions to be conjugate, makes it diverge. The length here is that of the
    minimum along the direction, whatever that is, and the directions are Polak's and Ribière's: nothing ever grows.
    """
    data, prior = right - system.forward(z), -z
    gradient = system.adjoint(data) + prior
    step = direction = system.precondition(gradient)
    size = (gradient * step).sum()
    # Relative to the gradient at zero: a start that is the solution is left alone.
    reference = system.adjoint(right)
    enough = TOLERANCE**2 * (reference * system.precondition(reference)).sum()
    taken = 0
    while taken < iterations and size > enough:
        ahead = system.forward(direction)
        length = (gradient * direction).sum() / (ahead.square().sum() + direction.square().sum())
        z, data, prior = z + length * direction, data - length * ahead, prior - length * direction
        past, gradient = gradient, system.adjoint(data) + prior
        step = system.precondition(gradient)
        turn = ((gradient - past) * step).sum() / size
        size = (gradient * step).sum()
        direction = step + turn.clamp_min(0) * direction
        taken += 1
    return z, taken


class _Dense:
    """A Jacobian J, and the Cholesky factor of I + JᵀJ."""

    def __init__(self, jacobian: Tensor) -> None:
        self.jacobian = jacobian
        normal = jacobian.T @ jacobian
        normal.diagonal().add_(1.0)
        self.cholesky, failed = torch.linalg.cholesky_ex(normal)
        if failed:
            # Rounding has made the product indefinite: the triangle of a QR factorisation is the same factor.
            stacked = torch.cat([jacobian, torch.eye(jacobian.shape[1]).to(jacobian)])
            self.cholesky = torch.linalg.qr(stacked, mode="r").R.T


class _OneAxis:
    """The Jacobian as a matrix; or as two, of even and of odd functions, if it mixes none of them."""

    def __init__(self, linear: _Linear) -> None:
        self.fixed, self.scale_e, self.scale_b = linear.fixed, linear.scale_e, linear.scale_b
        symmetric = bool(self.fixed.equal(self.fixed.flip(0)))
        self.halved = symmetric and all(k % 2 == 0 and bool((w == w[0]).all()) for (k,), w in linear.weights.items())
        self.parts = self._halves(linear) if self.halved else [self._whole(linear)]
        self.columns = [part.jacobian.shape[1] for part in self.parts]
        self.rows = [part.jacobian.shape[0] for part in self.parts]

    def _whole(self, linear: _Linear) -> _Dense:
        (root,), (derivatives,), weights = linear.roots, linear.matrices, linear.weights
        rows = [w.unsqueeze(1) * root.whiten(derivatives[k].matrix.T).T for (k,), w in weights.items()]
        at_boundary = root.whiten(derivatives[0].matrix[self.fixed].T).T
        return _Dense(torch.cat([self.scale_e * sum(rows[1:], start=rows[0]), self.scale_b * at_boundary]))

    def _halves(self, linear: _Linear) -> list[_Dense]:
        (root,), (derivatives,) = linear.roots, linear.matrices
        equation = [w[0] * derivatives[k].column for (k,), w in linear.weights.items()]
        operators, covariances = halves(sum(equation[1:], start=equation[0])), halves(derivatives[0].column)
        found = []
        for factor, operator, covariance in zip((root.even, root.odd), operators, covariances, strict=True):
            # Rows of the symmetric matrices as columns, whitened at once.
            rows = [self.scale_e * operator, self.scale_b * covariance[:, self.fixed[: len(factor)]]]
            found.append(_Dense(solve_triangular(factor, torch.cat(rows, 1), upper=False).T))
        return found

    def data(self, y: Tensor, values: Tensor) -> Tensor:
        """The right-hand side b: what the equation and the boundary say."""
        if not self.halved:
            return torch.cat([self.scale_e * y, self.scale_b * values])
        at_boundary = torch.zeros_like(y)
        at_boundary[self.fixed] = values
        found = []
        for left, given in zip(reflect(y.unsqueeze(1)), reflect(at_boundary.unsqueeze(1)), strict=True):
            found += [self.scale_e * left, self.scale_b * given[self.fixed[: len(given)]]]
        return torch.cat(found).squeeze(1)

    def forward(self, z: Tensor) -> Tensor:
        pieces = z.split(self.columns)
        return torch.cat([part.jacobian @ piece for part, piece in zip(self.parts, pieces, strict=True)])

    def adjoint(self, data: Tensor) -> Tensor:
        pieces = data.split(self.rows)
        return torch.cat([part.jacobian.T @ piece for part, piece in zip(self.parts, pieces, strict=True)])

    def precondition(self, gradient: Tensor) -> Tensor:
        pieces = gradient.unsqueeze(1).split(self.columns)
        solved = [torch.cholesky_solve(piece, part.cholesky) for part, piece in zip(self.parts, pieces, strict=True)]
        return torch.cat(solved).squeeze(1)

    def into(self, z: Tensor) -> Tensor:
        return z

    out_of = into


class _Axes:
    """The Jacobian as products along the axes; its unknown is Z in the basis E of each axis."""

    def __init__(self, linear: _Linear) -> None:
        self.fixed, self.scale_e, self.scale_b = linear.fixed, linear.scale_e, linear.scale_b
        whitened = [
            [root.whiten(k.matrix.T).T for k in derivatives]
            for root, derivatives in zip(linear.roots, linear.matrices, strict=True)
        ]
        self.basis = [torch.linalg.eigh(p[-1].T @ p[-1]).eigenvectors for p in whitened]
        self.parts = [[p @ e for p in parts] for parts, e in zip(whitened, self.basis, strict=True)]
        self.weights = linear.weights
        self.diagonal = self._diagonal()

    def _chosen(self, key: tuple[int, ...]) -> list[Tensor]:
        return [parts[k] for parts, k in zip(self.parts, key, strict=True)]

    def _diagonal(self) -> Tensor:
        values = [p[0].square().T for p in self.parts]
        found = 1 + self.scale_b.square() * product(values, self.fixed.to(values[0].dtype))
        for t, w in self.weights.items():
            for s, v in self.weights.items():
                both = [(a * b).T for a, b in zip(self._chosen(t), self._chosen(s), strict=True)]
                found = found + self.scale_e.square() * product(both, w * v)
        return found

    def data(self, y: Tensor, values: Tensor) -> Tensor:
        """The right-hand side b: what the equation and the boundary say."""
        return torch.cat([self.scale_e * y.flatten(), self.scale_b * values])

    def forward(self, z: Tensor) -> Tensor:
        parts = [w * product(self._chosen(t), z) for t, w in self.weights.items()]
        at_boundary = product([p[0] for p in self.parts], z)[self.fixed]
        return torch.cat([self.scale_e * sum(parts[1:], start=parts[0]).flatten(), self.scale_b * at_boundary])

    def adjoint(self, data: Tensor) -> Tensor:
        equation = self.scale_e * data[: self.fixed.numel()].reshape(self.fixed.shape)
        at_boundary = torch.zeros_like(equation)
        at_boundary[self.fixed] = self.scale_b * data[self.fixed.numel() :]
        found = product([p[0].T for p in self.parts], at_boundary)
        for t, w in self.weights.items():
            found = found + product([p.T for p in self._chosen(t)], w * equation)
        return found

    def precondition(self, gradient: Tensor) -> Tensor:
        return gradient / self.diagonal

    def into(self, z: Tensor) -> Tensor:
        return product([e.T for e in self.basis], z)

    def out_of(self, z: Tensor) -> Tensor:
        return product(self.basis, z)
