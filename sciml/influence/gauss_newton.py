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
:math:`\tfrac{1}{\nu}(I - A^T(\nu I + AA^T)^{-1}A)`, :math:`\nu = \lambda + \mu`. Where its rows are too many to be held
for each run, one G, at the mean of their parameters and of their weights, is the first guess of all: the quasi-Newton
steps learn the rest.

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
from sciml.stage import stage

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
        moments: With weights ``(n,)`` to the weighted Gauss-Newton matrix ``(d, d)`` itself, in the place of ``rows``,
            one for all runs.
        mapped: ``losses`` can be mapped over parameters by torch.func; else runs are differentiated one by one.
    """

    losses: Callable[[Tensor], Tensor]
    rows: Callable[[Tensor], Tensor]
    owner: Tensor
    decay: float
    moments: Callable[[Tensor, Tensor], Tensor] | None = None
    mapped: bool = True

    def objective(self, theta: Tensor, weights: Tensor) -> Tensor:
        """J for one run; differentiable."""
        return weights @ self.losses(theta) + self.decay / 2 * theta.square().sum()

    def slope(self, theta: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient ``(runs, d)`` and value ``(runs,)`` of J for many runs."""
        if self.mapped:
            return torch.func.vmap(torch.func.grad_and_value(self.objective))(theta, weights)
        slopes, values = zip(*map(self._slope, theta, weights), strict=True)
        return torch.stack(slopes), torch.stack(values)

    def _slope(self, theta: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = theta.detach().requires_grad_()
            value = self.objective(leaf, weights)
            return torch.autograd.grad(value, leaf)[0], value.detach()

    def curvature(self, theta: Tensor, weights: Tensor) -> tuple[Tensor, Tensor | None]:
        """The Gram matrix of the smaller side of each run's weighted rows, and the rows where it is that of the rows.

        Returns:
            ``(runs, m, m)``, with one matrix for all runs ``(1, d, d)``; rows ``(runs, rows, d)`` or None.
        """
        if self.moments is not None:
            return self.moments(theta.mean(0), weights.mean(0))[None], None
        a = torch.func.vmap(self.rows)(theta) * weights[:, self.owner, None].sqrt()
        return (a.mT @ a, None) if a.shape[1] >= a.shape[2] else (a @ a.mT, a)


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
    together = max(1, MEMORY // (8 * len(problem.owner) * len(theta))) if problem.moments is None else len(weights)
    parts = []
    for i, part in enumerate(weights.split(together)):
        with stage(f"training {1 + i * together} to {i * together + len(part)} of {len(weights)}"):
            parts.append(_minimise(problem, theta, part, tolerance, max_steps))
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
    with stage(lambda: f"step {steps}, relative gradient {float(relative.max()):.0e} (wanted: {tolerance:.0e})"):
        while True:
            runs = (~(relative <= tolerance)).nonzero()[:, 0]
            gram, rows = problem.curvature(theta[runs], weights[runs])
            trace = gram.diagonal(dim1=1, dim2=2).sum(1).expand(len(runs)) + problem.decay * len(start)
            if steps == 0:
                damping[runs] = 1e-8 * trace / len(start)
            scale = (2 * value[runs].maximum(least[runs]) * trace).sqrt()
            relative[runs] = gradient[runs].norm(dim=1) / scale
            if not bool((relative > tolerance).any()) or steps >= max_steps:
                return Result(theta, value, relative, steps)
            inverse = _Inverse(gram, rows, problem.decay + damping[runs])
            state = (theta[runs], gradient[runs], value[runs])
            goal = tolerance * scale
            theta[runs], gradient[runs], value[runs], first, taken = _round(
                problem, weights[runs], inverse, goal, *state
            )
            damping[runs] *= torch.where(first < 0.25, 10.0, 0.1)
            steps += taken
            if problem.moments is not None:  # at the curvature as it was: one more matrix is not worth its price
                relative[runs] = gradient[runs].norm(dim=1) / scale
                if bool((relative[runs] <= tolerance).all()):
                    return Result(theta, value, relative, steps)


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
        new = theta.clone(), gradient.clone(), value.clone()
        left = length.nonzero()[:, 0]
        for halving in range(HALVINGS):
            trial = theta[left] + length[left, None] * step[left]
            slope, height = problem.slope(trial, weights[left])
            hoped = length[left] * fall[left]
            # Near the optimum the decrease drowns in rounding; the gradient then still tells.
            drowned = hoped.abs() < ROUNDING * value[left]
            flatter = slope.norm(dim=1) < gradient[left].norm(dim=1)
            good = torch.where(drowned, flatter, value[left] - height >= ARMIJO * hoped)
            for kept, found in zip(new, (trial, slope, height), strict=True):
                kept[left[good]] = found[good]
            left = left[~good]
            if not len(left):
                break
            length[left] = length[left] / 2 if halving < HALVINGS - 1 else 0.0
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
    """(A^T A + shift I)^-1 for a batch of runs with shifts ``(runs,)``, by the smaller side of A.

    Args:
        gram: A^T A, or where rows are given A A^T, ``(runs, m, m)``; or one for all runs.
        rows: A, ``(runs, rows, d)``.
        shift: Positive.
    """

    def __init__(self, gram: Tensor, rows: Tensor | None, shift: Tensor) -> None:
        self.a, self.shift = rows, shift[:, None]
        smallest = torch.finfo(gram.dtype).eps * gram.diagonal(dim1=1, dim2=2).sum(1, keepdim=True)
        info = torch.ones(len(shift))
        while bool(info.any()):  # rounding can leave no positive matrix where the shift is tiny
            shifted = gram + torch.diag_embed(self.shift.expand(-1, gram.shape[-1]))
            self.factor, info = torch.linalg.cholesky_ex(shifted)
            self.shift = torch.where(info[:, None] != 0, torch.maximum(10 * self.shift, smallest), self.shift)

    def __call__(self, vector: Tensor) -> Tensor:
        if self.a is None:
            return torch.cholesky_solve(vector[..., None], self.factor)[..., 0]
        inner = torch.cholesky_solve(self.a @ vector[..., None], self.factor)
        return (vector - (self.a.mT @ inner)[..., 0]) / self.shift
