from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.gauss_newton import Problem, minimise


def linear(n: int, d: int, decay: float) -> tuple[Problem, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(n, d, generator=generator, dtype=torch.float64)
    b = torch.randn(n, generator=generator, dtype=torch.float64)
    problem = Problem(
        losses=lambda theta: (a @ theta - b).square() / 2,
        rows=lambda theta: a + 0 * theta,
        owner=torch.arange(n),
        decay=decay,
    )
    return problem, a, b


@pytest.mark.parametrize(("n", "d"), [(9, 4), (4, 9)])  # by the primal and by the dual system
def test_weighted_ridge_in_closed_form(n: int, d: int) -> None:
    problem, a, b = linear(n, d, 0.3)
    weights = torch.rand(5, n, dtype=torch.float64)
    weights[0, 0] = 0
    found = minimise(problem, torch.ones(d, dtype=torch.float64), weights, tolerance=1e-12)
    for theta, w in zip(found.theta, weights, strict=True):
        expected = torch.linalg.solve(a.T @ (w[:, None] * a) + 0.3 * torch.eye(d), a.T @ (w * b))
        torch.testing.assert_close(theta, expected)
    # Quadratic, and Gauss-Newton has all of its curvature: a step, and what the first damping left.
    assert found.steps <= 5


def rosenbrock() -> Problem:
    def residuals(theta: Tensor) -> Tensor:
        x, y = theta.unbind()
        return torch.stack([10 * (y - x.square()), 1 - x])

    return Problem(
        losses=lambda theta: residuals(theta).square() / 2,
        rows=torch.func.jacrev(residuals),
        owner=torch.arange(2),
        decay=0.0,
    )


def test_a_curved_valley_and_runs_that_end_at_different_times() -> None:
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    found = minimise(rosenbrock(), start, torch.tensor([[1.0, 1.0], [3.0, 0.1], [1.0, 7.0]]), tolerance=1e-9)
    torch.testing.assert_close(found.theta, torch.ones(3, 2, dtype=torch.float64), rtol=1e-4, atol=1e-4)


def test_a_norm_whose_curvature_gauss_newton_sees_half_of() -> None:
    """Distances to three points, bent: Weiszfeld's problem, with a gradient that must vanish."""
    points = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]], dtype=torch.float64)

    def bent(theta: Tensor) -> Tensor:
        return torch.stack([theta[0] + 0.2 * theta[1].square(), theta[1]]) - points

    def losses(theta: Tensor) -> Tensor:
        return bent(theta).norm(dim=1)

    def rows(theta: Tensor) -> Tensor:
        z = bent(theta)
        unit = z / z.norm(dim=1, keepdim=True)
        across = torch.eye(2) - unit[:, :, None] * unit[:, None]
        return (across @ torch.func.jacrev(bent)(theta) / z.norm(dim=1).sqrt()[:, None, None]).flatten(0, 1)

    problem = Problem(losses=losses, rows=rows, owner=torch.arange(3).repeat_interleave(2), decay=0.01)
    start, weights = torch.ones(2, dtype=torch.float64), torch.ones(1, 3, dtype=torch.float64)
    found = minimise(problem, start, weights, tolerance=1e-10)
    assert problem.slope(found.theta, weights)[0].norm() < 1e-8


def test_what_does_not_arrive_is_an_error() -> None:
    start = torch.tensor([-1.2, 1.0], dtype=torch.float64)
    with pytest.raises(RunError, match="2 of 2 trainings did not reach an optimum in 1 steps"):
        minimise(rosenbrock(), start, torch.ones(2, 2), tolerance=1e-12, max_steps=1)
