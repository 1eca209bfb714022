r"""Minimising a weighted sum of losses to its optimum, many weightings at once.

.. math:: \min_\theta J(\theta; w) = \sum_i w_i\,\ell_i(\theta) + \tfrac{\lambda}{2}\|\theta\|^2

by rounds of limited-memory quasi-Newton steps (Nocedal and Wright 2006, *Numerical Optimization*, algorithm 7.4) whose
first guess of the Hessian is the damped Gauss-Newton matrix :math:`G + \mu I` at the beginning of the round,
:math:`G = \sum_i w_i R_i^T R_i + \lambda I` with :math:`R_i` the rows of example i
(:meth:`sciml.influence.base.Task.jacobian`). The first step of a round is that of Levenberg and Marquardt, the others
learn from gradients what Gauss and Newton leave out: least squares with small residuals need one round, a loss whose
curvature is only half Gauss-Newton's still converges fast, where plain Gauss-Newton steps would crawl. A step is halved
until J falls enough (Armijo); :math:`\mu` rises tenfold after a round whose first step had to be cut below a quarter,
and falls tenfold otherwise. Where G has fewer rows than columns it is inverted by its dual,
:math:`\tfrac{1}{\nu}(I - A^T(\nu I + AA^T)^{-1}A)`, :math:`\nu = \lambda + \mu`.

Influence is a derivative of an optimum, so "trained" means here that the gradient vanishes up to ``tolerance`` times
:math:`\sqrt{2J\,\mathrm{tr}\,G}`, the largest that it could be for squares at this loss and curvature (Cauchy and
Schwarz); where losses can vanish altogether, J counts as at least 1e-12 of where it began. All in float64 and
deterministic; the runs share nothing but the time at which they step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.errors import RunError

MEMORY = 1 << 30  # bytes for the rows of all runs that are solved at once; two copies of them are alive at a time
ROUND = 12  # steps with one Gauss-Newton matrix, all of which are remembered
HALVINGS = 20
ARMIJO = 1e-4
ROUNDING = 1e-13  # of J: a decrease below that is not seen in float64


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is minimised, as functions of one flat parameter vector ``(d,)`` in float64.

    Args:
        losses: To the losses ``(n,)`` of the examples.
        rows: To the rows ``(rows, d)`` of the Gauss-Newton matrix for weights 1.
        owner: ``(rows,)``, the example that each row belongs to.
        decay: Lambda.
    """

    losses: Callable[[Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    owner: Tensor
    decay: float

    def objective(self, theta: Tensor, weights: Tensor) -> Tensor:
        """J for one run; differentiable."""
        return weights @ self.losses(theta) + self.decay / 2 * theta.square().sum()

    def slope(self, theta: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient ``(runs, d)`` and value ``(runs,)`` of J for many runs."""
        return torch.func.vmap(torch.func.grad_and_value(self.objective))(theta, weights)


@dataclass(frozen=True)
class Result:
    """Where the runs ended: parameters ``(runs, d)``, objective and relative gradient ``(runs,)``, steps taken."""

    theta: Tensor
    objective: Tensor
    gradient: Tensor
    steps: int


def minimise(
    problem: Problem, theta: Tensor, weights: Tensor, *, tolerance: float = 1e-9, max_steps: int = 1000
) -> Result:
    """Minimise from where ``theta`` is.

    Args:
        problem: The losses and their curvature.
        theta: ``(d,)``, where every run starts.
        weights: ``(runs, n)``, not negative.
        tolerance: Of the gradient, see above.
        max_steps: Steps a run may take.

    Returns:
        The optima.

    Raises:
        RunError: A run has not reached the tolerance.
    """
    weights = weights.to(theta)
    together = max(1, MEMORY // (8 * len(problem.owner) * len(theta)))
    parts = [_minimise(problem, theta, part, tolerance, max_steps) for part in weights.split(together)]
    found = Result(
        torch.cat([p.theta for p in parts]),
        torch.cat([p.objective for p in parts]),
        torch.cat([p.gradient for p in parts]),
        max(p.steps for p in parts),
    )
    late = ~(found.gradient <= tolerance)
    if bool(late.any()):
        raise RunError(
            f"{int(late.sum())} of {len(weights)} trainings did not reach an optimum in {max_steps} steps: relative"
            f" gradient {float(found.gradient[late].max()):.1e}, wanted {tolerance:.1e}; train the run longer, or raise"
            " influence.task.decay, which makes the optimum sharper"
        )
    return found


def _minimise(problem: Problem, start: Tensor, weights: Tensor, tolerance: float, max_steps: int) -> Result:
    theta = start.expand(len(weights), -1).clone()
    gradient, value = problem.slope(theta, weights)
    relative = torch.full_like(value, torch.inf)
    damping = torch.full_like(value, torch.nan)
    least = 1e-12 * value
    steps = 0
    while True:
        runs = (~(relative <= tolerance)).nonzero()[:, 0]
        rows = torch.func.vmap(problem.rows)(theta[runs]) * weights[runs][:, problem.owner, None].sqrt()
        trace = rows.square().sum((1, 2)) + problem.decay * len(start)
        if steps == 0:
            damping[runs] = 1e-8 * trace / len(start)
        scale = (2 * value[runs].maximum(least[runs]) * trace).sqrt()
        relative[runs] = gradient[runs].norm(dim=1) / scale
        if not bool((relative > tolerance).any()) or steps >= max_steps:
            return Result(theta, value, relative, steps)
        inverse = _Inverse(rows, problem.decay + damping[runs])
        state = (theta[runs], gradient[runs], value[runs])
        goal = tolerance * scale
        theta[runs], gradient[runs], value[runs], first, taken = _round(problem, weights[runs], inverse, goal, *state)
        damping[runs] *= torch.where(first < 0.25, 10.0, 0.1)
        steps += taken


def _round(
    problem: Problem, weights: Tensor, inverse: _Inverse, goal: Tensor, theta: Tensor, gradient: Tensor, value: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, int]:
    """Quasi-Newton steps until every run has a gradient below ``goal`` or cannot go on; and each run's first length."""
    moves: list[Tensor] = []
    changes: list[Tensor] = []
    going = gradient.norm(dim=1) > goal
    first = torch.ones_like(value)
    taken = 0
    for k in range(ROUND):
        step = -_two_loops(inverse, moves, changes, gradient)
        fall = -(step * gradient).sum(1)
        length = torch.where(going & (fall > 0), 1.0, 0.0)
        new = theta, gradient, value
        for halving in range(HALVINGS + 1):
            trial = theta + length[:, None] * step
            new_gradient, new_value = problem.slope(trial, weights)
            new = trial, new_gradient, new_value
            fallen = value - new_value >= ARMIJO * length * fall
            # Near the optimum the decrease drowns in rounding; the gradient then still tells.
            drowned = (length * fall).abs() < ROUNDING * value
            good = torch.where(drowned, new_gradient.norm(dim=1) < gradient.norm(dim=1), fallen) | (length == 0)
            if bool(good.all()):
                break
            length = torch.where(good, length, length / 2 if halving < HALVINGS - 1 else 0.0)
        if k == 0:
            first = torch.where(going, length, first)
        taken += 1
        moves.append(new[0] - theta)
        changes.append(new[1] - gradient)
        theta, gradient, value = new
        going &= (gradient.norm(dim=1) > goal) & (length > 0)
        if not bool(going.any()):
            break
    return theta, gradient, value, first, taken


def _two_loops(inverse: _Inverse, moves: list[Tensor], changes: list[Tensor], gradient: Tensor) -> Tensor:
    """The inverse Hessian times the gradient, as far as moves and changes of the gradient have shown it."""
    q, alphas, rhos = gradient, [], []
    for move, change in zip(reversed(moves), reversed(changes), strict=True):
        curvature = (move * change).sum(1)
        # Pairs without positive curvature, those of a run that stood still among them, teach nothing.
        usable = curvature > 1e-14 * move.norm(dim=1) * change.norm(dim=1)
        rho = torch.where(usable, 1 / curvature, 0.0)
        alpha = rho * (move * q).sum(1)
        q = q - alpha[:, None] * change
        alphas.append(alpha)
        rhos.append(rho)
    r = inverse(q)
    for move, change, alpha, rho in zip(moves, changes, reversed(alphas), reversed(rhos), strict=True):
        beta = rho * (change * r).sum(1)
        r = r + (alpha - beta)[:, None] * move * (rho > 0)[:, None]
    return r


class _Inverse:
    """(A^T A + shift I)^-1 for a batch of A ``(runs, rows, d)`` and shifts ``(runs,)``, by its smaller side."""

    def __init__(self, a: Tensor, shift: Tensor) -> None:
        self.primal = a.shape[1] >= a.shape[2]
        self.a, self.shift = a, shift[:, None]
        gram = a.mT @ a if self.primal else a @ a.mT
        smallest = torch.finfo(a.dtype).eps * gram.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
        info = torch.ones(len(a))
        while bool(info.any()):  # rounding can leave no positive matrix where the shift is tiny
            shifted = gram + torch.diag_embed(self.shift.expand(-1, gram.shape[-1]))
            self.factor, info = torch.linalg.cholesky_ex(shifted)
            self.shift = torch.where(info[:, None] != 0, torch.maximum(10 * self.shift, smallest), self.shift)

    def __call__(self, vector: Tensor) -> Tensor:
        if self.primal:
            return torch.cholesky_solve(vector[..., None], self.factor)[..., 0]
        inner = torch.cholesky_solve(self.a @ vector[..., None], self.factor)
        return (vector - (self.a.mT @ inner)[..., 0]) / self.shift
