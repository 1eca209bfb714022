"""Gauss-Newton methods against dense solves, in both shapes of the Jacobian, with dampings that rounding swallows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import cast

import pytest
import torch
from refusals import accepted
from resumption import Made, interrupted, straight
from torch import Tensor, nn

from sciml.optimizer.base import FunctionObjective
from sciml.optimizer.gauss_newton import ENGDW, SPRING, GaussNewton
from sciml.optimizer.least_squares import DampedLeastSquares
from sciml.optimizer.levenberg_marquardt import LevenbergMarquardt

KINDS: dict[str, Callable[[list[nn.Parameter]], GaussNewton]] = {
    "engdw": lambda p: ENGDW(p, damping=1e-8),
    "spring": lambda p: SPRING(p, damping=1e-8, momentum=0.5),
    "lm": lambda p: LevenbergMarquardt(p),
}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fit(points: int, dtype: torch.dtype = torch.float64) -> tuple[list[nn.Parameter], FunctionObjective]:
    """A network of 25 parameters against a sine."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    x = torch.linspace(-1, 1, points, dtype=dtype)[:, None]

    def residuals() -> dict[str, Tensor]:
        return {"fit": (network(x) - torch.sin(3 * x)) / points**0.5}

    return list(network.parameters()), FunctionObjective(network.parameters(), residuals=residuals)


def linear(n: int, p: int) -> tuple[nn.Parameter, FunctionObjective, Tensor, Tensor]:
    theta, a, b = nn.Parameter(normal(p, seed=2)), normal(n, p), normal(n, seed=1)
    return theta, FunctionObjective([theta], residuals=lambda: {"r": a @ theta - b}), a, b


@pytest.mark.parametrize("damping", [1e-3, 1e-8, 1e-14])
@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (6, 6)])
def test_both_forms_are_the_damped_solution(shape: tuple[int, int], damping: float) -> None:
    jacobian, r = normal(*shape), normal(shape[0], seed=1)
    lost = damping < 1e-10
    if lost:
        jacobian[-1], jacobian[:, -1] = jacobian[0].clone(), jacobian[:, 0].clone()  # singular: Cholesky has to give up
        jacobian[0, -1] = jacobian[-1, 0] = jacobian[-1, -1] = jacobian[0, 0]
        r[-1] = r[0]
    system = DampedLeastSquares(jacobian)
    d = system.solve(r, damping)
    u, s, vt = torch.linalg.svd(jacobian, full_matrices=False)
    s = torch.where(s > 1e-10, s, 0)  # what is below is rounding of the zero, and r has nothing there
    expected = vt.T @ (s / (s * s + damping) * (u.T @ r))
    close = 1e-2 if lost else 1e-8  # rounding errors of J over the root of the damping
    torch.testing.assert_close(d, expected, rtol=close, atol=close)
    assert bool(system.orthogonal) == lost


@pytest.mark.parametrize("shape", [(40, 15), (15, 40)])
def test_an_answer_is_approached_where_rounding_leaves_no_factor(shape: tuple[int, int]) -> None:
    small = min(shape)
    u, v = (torch.linalg.qr(normal(n, small, seed=n)).Q for n in shape)
    s = torch.logspace(2, -7, small, dtype=torch.float64)
    r, damping = normal(shape[0], seed=1), 1e-13  # rounding errors of the Gram matrix: 1e-12
    system = DampedLeastSquares(u @ torch.diag(s) @ v.T)
    exact = v @ (s / (s * s + damping) * (u.T @ r))
    off = [float((system.approach(r, damping, n) - exact).norm() / exact.norm()) for n in (0, 3, 30)]
    assert off[2] < 1e-6 < off[1] < off[0]
    assert not system.orthogonal
    easy = v @ (s / (s * s + 1.0) * (u.T @ r))
    torch.testing.assert_close(system.approach(r, 1.0, 0), easy, rtol=1e-9, atol=1e-9)


def test_a_factorisation_that_fails_is_reported_once_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    theta = nn.Parameter(normal(4))
    a = normal(6, 2) @ normal(2, 4, seed=1)
    objective = FunctionObjective([theta], residuals=lambda: {"r": a @ theta - a.sum(1)})
    optimizer = ENGDW([theta], damping=1e-25)
    with caplog.at_level(logging.WARNING, "sciml"):
        optimizer.step(objective)
        optimizer.step(objective)
    assert float(objective.value()) < 1e-20
    assert caplog.text.count("orthogonal factorisations") == 1


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
@pytest.mark.parametrize("kind", [ENGDW, SPRING])
def test_one_step_is_that_of_gauss_newton(kind: type[ENGDW], shape: tuple[int, int]) -> None:
    theta, objective, a, b = linear(*shape)
    before = theta.detach().clone()
    kind([theta], damping=0.5, halvings=0).step(objective)
    d = torch.linalg.solve(a.T @ a + 0.5 * torch.eye(shape[1]), a.T @ (a @ before - b))
    torch.testing.assert_close(theta.detach(), before - d)


def test_spring_equals_its_recursion() -> None:
    theta, objective, a, b = linear(9, 5)
    optimizer = SPRING([theta], lr=0.3, damping=0.5, momentum=0.8, halvings=0)
    x, phi = theta.detach().clone(), torch.zeros(5, dtype=torch.float64)
    for _ in range(5):
        optimizer.step(objective)
        r = a @ x - b
        zeta = r - 0.8 * a @ phi
        phi = 0.8 * phi + a.T @ torch.linalg.solve(a @ a.T + 0.5 * torch.eye(9), zeta)
        x = x - 0.3 * phi
        torch.testing.assert_close(theta.detach(), x)


def test_without_momentum_spring_is_engdw() -> None:
    (p, f), (q, g) = fit(30), fit(30)
    one, two = ENGDW(p, damping=1e-6), SPRING(q, damping=1e-6, momentum=0.0)
    for _ in range(5):
        one.step(f)
        two.step(g)
    for a, b in zip(p, q, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_levenberg_marquardt_with_large_damping_is_gradient_descent() -> None:
    p, objective = fit(30)
    before = [q.detach().clone() for q in p]
    objective()
    gradients = [q.grad.clone() for q in p]  # type: ignore[union-attr]
    LevenbergMarquardt(p, damping=1e8).step(objective)
    for q, start, g in zip(p, before, gradients, strict=True):
        torch.testing.assert_close(q - start, -g / 2e8, rtol=1e-6, atol=1e-14)


def test_levenberg_marquardt_moves_its_damping_by_the_gain() -> None:
    theta, objective, *_ = linear(9, 5)
    optimizer = LevenbergMarquardt([theta], damping=1.0)
    optimizer.step(objective)
    assert optimizer.memory["damping"] == pytest.approx(1 / 3)  # a linear model is exact: the gain is 1
    p = nn.Parameter(torch.tensor([3.0], dtype=torch.float64))
    flat = FunctionObjective([p], residuals=lambda: {"r": torch.atan(p)})  # on which an undamped step goes too far
    start, optimizer = float(flat.value()), LevenbergMarquardt([p], damping=1e-6)
    optimizer.step(flat)
    assert float(flat.value()) < start
    assert optimizer.memory["damping"] > 1e-6


@pytest.mark.parametrize("acceleration", [None, 10.0])
def test_levenberg_marquardt_takes_the_step_of_the_paper(acceleration: float | None) -> None:
    theta = nn.Parameter(normal(4, seed=2))
    a, b = normal(7, 4), normal(7, 4, 4, seed=1) / 5

    def residual(x: Tensor) -> Tensor:
        return a @ x + torch.einsum("nij,i,j->n", b, x, x)  # quadratic: the difference quotient is exact

    x = theta.detach().clone()
    r, jacobian = residual(x), cast("Tensor", torch.func.jacrev(residual)(x))
    inverse = torch.linalg.inv(jacobian.T @ jacobian + 3.0 * torch.eye(4, dtype=torch.float64)) @ jacobian.T
    d = inverse @ r
    accelerated = d + inverse @ (2 * torch.einsum("nij,i,j->n", b, d, d)) / 2
    optimizer = LevenbergMarquardt([theta], damping=3.0, acceleration=acceleration, corrections=0)
    optimizer.step(FunctionObjective([theta], residuals=lambda: {"r": residual(theta)}))
    torch.testing.assert_close(x - theta.detach(), d if acceleration is None else accelerated, rtol=1e-9, atol=1e-9)


def test_a_correction_goes_for_the_residuals_that_the_linear_model_promises() -> None:
    theta, a = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64)), torch.tensor([[100.0, 5.0], [0.0, 1.0]])

    def residual(x: Tensor) -> Tensor:
        return a.double() @ x + torch.stack([60 * x[1] ** 2, torch.ones((), dtype=torch.float64)])

    x = theta.detach().clone()
    r, jacobian = residual(x), cast("Tensor", torch.func.jacrev(residual)(x))
    gram, eye = jacobian.T @ jacobian, torch.eye(2, dtype=torch.float64)
    d = torch.linalg.inv(gram + 1e-3 * eye) @ jacobian.T @ r
    damped = gram + (1e-3 * gram.diagonal().max()).sqrt() * eye
    expected = d + torch.linalg.inv(damped) @ jacobian.T @ (residual(x - d) - (r - jacobian @ d))
    losses = [float(residual(x - step).square().sum()) for step in (0 * d, d, expected)]
    assert losses[2] < losses[0] < losses[1], "without the correction the step is none"
    optimizer = LevenbergMarquardt([theta], damping=1e-3, acceleration=None, corrections=1)
    optimizer.step(FunctionObjective([theta], residuals=lambda: {"r": residual(theta)}))
    torch.testing.assert_close(x - theta.detach(), expected, rtol=1e-9, atol=1e-9)


def test_corrections_take_longer_steps_along_a_bent_valley() -> None:
    steps = []
    for corrections in (0, 6):
        theta = nn.Parameter(torch.tensor([-1.5, 0.0], dtype=torch.float64))

        def valley(p: nn.Parameter = theta) -> dict[str, Tensor]:
            return {"r": torch.stack([1e4 * (p[1] - torch.sin(3 * p[0])), p[0] - 1])}

        objective = FunctionObjective([theta], residuals=valley)
        optimizer = LevenbergMarquardt([theta], corrections=corrections)
        steps.append(next(i for i in range(400) if float(optimizer.step(objective)) < 1e-12))
    assert steps[1] < steps[0] / 2


def test_a_path_that_bends_too_much_takes_more_damping() -> None:
    dampings = []
    for acceleration in (100.0, 1e-2):
        p, objective = fit(30)
        optimizer = LevenbergMarquardt(p, damping=1e-3, acceleration=acceleration)
        optimizer.step(objective)
        dampings.append(optimizer.memory["damping"])
    assert dampings[1] > dampings[0]


@pytest.mark.parametrize("points", [15, 60])
@pytest.mark.parametrize("kind", KINDS)
def test_fits_a_network(kind: str, points: int) -> None:
    p, objective = fit(points)
    optimizer = KINDS[kind](p)
    for _ in range(100):
        optimizer.step(objective)
    assert float(objective.value()) < 1e-8


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision(kind: str) -> None:
    p, objective = fit(40, torch.float32)
    start, optimizer = float(objective.value()), KINDS[kind](p)
    for _ in range(20):
        optimizer.step(objective)
    assert float(objective.value()) < 1e-4 * start
    assert all(q.dtype == torch.float32 for q in p)


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_equals_one_that_is_not(kind: str) -> None:
    def make() -> Made:
        p, objective = fit(30)
        return p, KINDS[kind](p), objective

    assert all(torch.equal(a, b) for a, b in zip(interrupted(make, 6, 6)[0], straight(make, 12)[0], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_to_be_gained_it_stays_and_says_so_once(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    theta = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    objective = FunctionObjective([theta], residuals=lambda: {"r": theta.square() + 1})
    optimizer = KINDS[kind]([theta])
    with caplog.at_level(logging.WARNING, "sciml"):
        for _ in range(3):
            assert float(optimizer.step(objective)) == 2
    assert torch.equal(theta.detach(), torch.zeros(2, dtype=torch.float64))
    assert caplog.text.count("lowers the loss") == 1


def test_a_step_into_infinity_is_not_taken() -> None:
    theta = nn.Parameter(torch.tensor([0.1], dtype=torch.float64))
    objective = FunctionObjective([theta], residuals=lambda: {"r": theta.log() - 2})
    for kind in KINDS.values():
        optimizer = kind([theta])
        for _ in range(30):
            optimizer.step(objective)
        assert float(theta.detach().log()) == pytest.approx(2)
        with torch.no_grad():
            theta.fill_(40.0)  # from here the full step goes below zero


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(ENGDW, damping=0.0, halvings=-1) == {}
    assert accepted(SPRING, damping=0.0, momentum=1.0) == {}
    assert accepted(LevenbergMarquardt, damping=0.0, trials=0, acceleration=0.0, corrections=-1) == {}
