"""Quasi-Newton methods against their formulas written out, on Rosenbrock's function, and when they cannot go on."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch
from refusals import accepted
from resumption import Made, interrupted, straight
from torch import Tensor, nn

from sciml.optimizer.base import FunctionObjective
from sciml.optimizer.dense_quasi_newton import BFGS, DenseQuasiNewton, SSBroyden
from sciml.optimizer.lbfgs import LBFGS
from sciml.optimizer.quasi_newton import QuasiNewton

KINDS = [LBFGS, BFGS, SSBroyden]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rosenbrock(n: int = 4, dtype: torch.dtype = torch.float64) -> tuple[list[nn.Parameter], FunctionObjective]:
    start = torch.tensor([-1.2, 1.0] * (n // 2), dtype=dtype)
    p = [nn.Parameter(start[: n // 2].clone()), nn.Parameter(start[n // 2 :].clone().reshape(1, -1))]

    def terms() -> dict[str, Tensor]:
        x = torch.cat([q.reshape(-1) for q in p])
        return {"valley": 100 * (x[1:] - x[:-1].square()).square().sum(), "slope": (1 - x[:-1]).square().sum()}

    return p, FunctionObjective(p, terms=terms)


def quadratic(n: int, condition: float) -> tuple[Tensor, Tensor]:
    q = torch.linalg.qr(normal(n, n)).Q
    return q @ torch.diag(torch.logspace(0, -np.log10(condition), n, dtype=torch.float64)) @ q.T, normal(n, seed=1)


def minimise_exactly(optimizer: QuasiNewton, a: Tensor, b: Tensor, steps: int) -> list[Tensor]:
    """The points that a method visits on ½ xᵀ A x − bᵀ x when each step is the minimum along its direction."""
    x, visited = torch.zeros_like(b), []
    for _ in range(steps):
        g = a @ x - b
        d = optimizer.direction(g)
        t = float(-(g @ d) / (d @ a @ d))
        s = t * d
        x = x + s
        optimizer.update(s, a @ s, g, t)
        visited.append(x)
    return visited


def test_with_exact_line_searches_all_visit_the_points_of_conjugate_gradients() -> None:
    a, b = quadratic(8, 10)
    visited = {kind: minimise_exactly(kind([nn.Parameter(b.clone())]), a, b, 8) for kind in KINDS}
    x, r = torch.zeros_like(b), b.clone()
    p = r
    for step in range(8):
        alpha = (r @ r) / (p @ a @ p)
        x, new = x + alpha * p, r - alpha * (a @ p)
        p, r = new + (new @ new) / (r @ r) * p, new
        for kind in KINDS:
            torch.testing.assert_close(visited[kind][step], x, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(x, torch.linalg.solve(a, b), rtol=1e-7, atol=1e-7)


def naive_bfgs(h: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    rho, eye = 1 / (y @ s), np.eye(len(s))
    return (eye - rho * np.outer(s, y)) @ h @ (eye - rho * np.outer(y, s)) + rho * np.outer(s, s)


def naive_ssbroyden(h: np.ndarray, s: np.ndarray, y: np.ndarray, g: np.ndarray, t: float, first: bool) -> np.ndarray:
    n = len(s)
    hy, rho = h @ y, 1 / (y @ s)
    yhy = y @ hy
    hk = yhy * rho
    bk = -t * rho * (s @ g)
    ak = hk * bk - 1
    rho_minus = min(1.0, hk * (1 - np.sqrt(abs(ak) / (1 + ak))))
    theta_minus, theta_plus = (rho_minus - 1) / ak, 1 / rho_minus
    theta = max(theta_minus, min(theta_plus, (1 - bk) / bk))
    sigma = 1 + ak * theta
    rho_k, power = min(1.0, 1 / bk), abs(sigma) ** (1 / (1 - n))
    tau = min(rho_k * power, sigma) if theta <= 0 else rho_k * min(power, 1 / theta)
    if first:
        tau = hk / sigma
    phi = (1 - theta) / sigma
    v = s * rho - hy / yhy
    return (h - np.outer(hy, hy) / yhy + phi * yhy * np.outer(v, v)) / tau + rho * np.outer(s, s)


@pytest.mark.parametrize("kind", [BFGS, SSBroyden])
def test_dense_updates_equal_the_formulas(kind: type[QuasiNewton]) -> None:
    optimizer = kind([nn.Parameter(torch.zeros(5, dtype=torch.float64))])
    assert isinstance(optimizer, DenseQuasiNewton)
    h = np.eye(5)
    seen = set()
    for k in range(12):
        g, s, noise = normal(5, seed=3 * k), None, normal(5, 5, seed=3 * k + 1)
        t = [0.3, 1.0, 4.0][k % 3]
        s = t * optimizer.direction(g)
        y = (noise @ noise.T / 5 + 0.1 * torch.eye(5)) @ s
        optimizer.update(s, y, g, t)
        sn, yn, gn = s.numpy(), y.numpy(), g.numpy()
        if kind is SSBroyden:
            h = naive_ssbroyden(h, sn, yn, gn, t, k == 0)
            seen.add(-t * (sn @ gn) / (yn @ sn) > 1)
        else:
            h = naive_bfgs(h * (yn @ sn) / (yn @ yn) if k == 0 else h, sn, yn)
        np.testing.assert_allclose(optimizer.inverse_hessian.numpy(), h, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(h @ yn, sn, rtol=1e-8, atol=1e-8)  # the secant equation
    assert kind is BFGS or seen == {True, False}  # both signs of theta


def test_lbfgs_equals_the_recursion_of_its_matrices() -> None:
    optimizer = LBFGS([nn.Parameter(torch.zeros(6, dtype=torch.float64))], history=3)
    a, _ = quadratic(6, 100)
    pairs = []
    for k in range(7):
        s = normal(6, seed=k)
        optimizer.update(s, a @ s, normal(6), 1.0)
        pairs = [*pairs, (s.numpy(), (a @ s).numpy())][-3:]
        s0, y0 = pairs[-1]
        h = np.eye(6) * (s0 @ y0) / (y0 @ y0)
        for sk, yk in pairs:
            h = naive_bfgs(h, sk, yk)
        g = normal(6, seed=50 + k)
        np.testing.assert_allclose(optimizer.direction(g).numpy(), -h @ g.numpy(), rtol=1e-9, atol=1e-9)


def test_lbfgs_takes_up_a_state_without_products_of_pairs() -> None:
    (one, other), (a, b) = (
        [LBFGS([nn.Parameter(torch.zeros(6).double())], history=3) for _ in range(2)],
        quadratic(6, 9),
    )
    for k in range(5):
        one.update(normal(6, seed=k), a @ normal(6, seed=k), b, 1.0)
    state = copy.deepcopy(one.state_dict())
    del state["state"]["memory"]["products"]
    other.load_state_dict(state)
    torch.testing.assert_close(other.direction(b), one.direction(b))


@pytest.mark.parametrize("kind", KINDS)
def test_finds_the_minimum_of_rosenbrock(kind: type[QuasiNewton]) -> None:
    p, objective = rosenbrock()
    optimizer = kind(p)
    for _ in range(120):
        optimizer.step(objective)
    assert all(torch.allclose(q, torch.ones_like(q), rtol=0, atol=1e-8) for q in p)
    assert optimizer.evaluations < 200


@pytest.mark.parametrize("kind", KINDS)
def test_in_single_precision(kind: type[QuasiNewton]) -> None:
    p, objective = rosenbrock(dtype=torch.float32)
    optimizer = kind(p)
    for _ in range(120):
        optimizer.step(objective)
    assert all(torch.allclose(q, torch.ones_like(q), rtol=0, atol=2e-3) for q in p)
    kept = [value for value in optimizer.memory.values() if isinstance(value, Tensor)]
    assert len(kept) > 3
    assert all(value.dtype == torch.float32 for value in kept)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_evaluated_twice(kind: type[QuasiNewton]) -> None:
    p, objective = rosenbrock()
    optimizer, seen = kind(p), []
    call = objective.__class__.__call__

    class Watched(FunctionObjective):
        def __call__(self) -> Tensor:
            seen.append(tuple(float(v) for q in p for v in q.detach().reshape(-1)))
            return call(self)

    watched = Watched(p, terms=objective.terms)
    for _ in range(20):
        optimizer.step(watched)
    assert len(set(seen)) == len(seen) == optimizer.evaluations
    watched.version += 1
    optimizer.step(watched)
    assert len(set(seen)) == len(seen) - 1  # the function may have changed where it was


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_that_somebody_else_has_moved_are_evaluated_anew(kind: type[QuasiNewton]) -> None:
    p, objective = rosenbrock()
    optimizer = kind(p)
    for _ in range(3):
        optimizer.step(objective)
    with torch.no_grad():
        p[0].add_(0.1)
    assert float(optimizer.step(objective)) == pytest.approx(float(rosenbrock_value(p, objective, optimizer)))


def rosenbrock_value(p: list[nn.Parameter], objective: FunctionObjective, optimizer: QuasiNewton) -> Tensor:
    """The loss where the last step began: three steps, then the move."""
    again, same = rosenbrock()
    other = type(optimizer)(again)
    for _ in range(3):
        other.step(same)
    with torch.no_grad():
        again[0].add_(0.1)
    return same.value()


@pytest.mark.parametrize("cut", [1, 17, 40])
@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_run_equals_one_that_is_not(kind: type[QuasiNewton], cut: int) -> None:
    def make() -> Made:
        p, objective = rosenbrock(6)
        return p, kind(p, **({"history": 5} if kind is LBFGS else {})), objective

    resumed, second = interrupted(make, cut, 25)
    whole, first = straight(make, cut + 25)
    assert all(torch.equal(a, b) for a, b in zip(resumed, whole, strict=True))
    assert first.evaluations == second.evaluations


def test_loading_copies_the_state() -> None:
    p, objective = rosenbrock()
    optimizer = BFGS(p)
    optimizer.step(objective)
    saved = optimizer.state_dict()
    before = copy.deepcopy(saved)
    other, function = rosenbrock()
    resumed = BFGS(other)
    resumed.load_state_dict(saved)
    for _ in range(5):
        resumed.step(function)
    assert torch.equal(saved["state"]["memory"]["factor"], before["state"]["memory"]["factor"])


@pytest.mark.parametrize("kind", KINDS)
def test_says_once_why_it_cannot_go_on_and_goes_on_when_it_can(
    kind: type[QuasiNewton], caplog: pytest.LogCaptureFixture
) -> None:
    p = nn.Parameter(normal(3))
    target, calls = [torch.zeros(3, dtype=torch.float64)], []

    def terms() -> dict[str, Tensor]:
        calls.append(1)
        return {"loss": (p - target[0]).square().sum() + 1}

    objective = FunctionObjective([p], terms=terms)
    optimizer = kind([p])
    with caplog.at_level(logging.WARNING, "sciml"):
        for _ in range(30):
            optimizer.step(objective)
        count = len(calls)
        for _ in range(30):
            optimizer.step(objective)
    assert len(calls) == count  # stays where it is, for nothing
    assert p.abs().max() < 1e-7
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == len(set(said)) <= 2
    assert any("gradient vanishes" in line or "no step along -g" in line for line in said)
    target[0] = torch.ones(3, dtype=torch.float64)
    objective.version += 1
    for _ in range(5):
        optimizer.step(objective)
    assert (p - 1).abs().max() < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_line_search_restarts_from_steepest_descent(
    kind: type[QuasiNewton], caplog: pytest.LogCaptureFixture
) -> None:
    p, objective = rosenbrock()
    optimizer = kind(p)
    for _ in range(5):
        optimizer.step(objective)
    before = float(objective.value())
    direction: Callable[[Tensor], Tensor] = optimizer.direction
    optimizer.direction = lambda g: g.clone() if not optimizer.blank() else direction(g)  # type: ignore[method-assign]
    with caplog.at_level(logging.WARNING, "sciml"):
        optimizer.step(objective)
    assert "restarting along -g" in caplog.text
    assert float(objective.value()) < before


def test_an_infinite_value_on_the_line_is_avoided() -> None:
    p = nn.Parameter(torch.tensor([0.5], dtype=torch.float64))
    objective = FunctionObjective([p], terms=lambda: {"barrier": (p - 3 * p.log()).sum()})
    optimizer = BFGS([p], lr=100.0)
    for _ in range(20):
        optimizer.step(objective)
    assert float(p.detach()) == pytest.approx(3, abs=1e-6)


@pytest.mark.parametrize("kind", [BFGS, SSBroyden])
@pytest.mark.parametrize("name", ["root", "log"])
def test_a_function_of_the_loss_is_minimised_as_a_loss_of_its_own(kind: type[QuasiNewton], name: str) -> None:
    function = {"root": torch.sqrt, "log": torch.log}[name]
    (own, loss), (theirs, plain) = rosenbrock(), rosenbrock()
    wrapped = FunctionObjective(theirs, terms=lambda: {"loss": function(torch.stack([*plain.terms().values()]).sum())})
    mine, reference = kind(own, minimise=name), kind(theirs)  # type: ignore[call-arg]
    for _ in range(12):
        before = mine.step(loss)
        torch.testing.assert_close(reference.step(wrapped), function(before), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(own[0], theirs[0], rtol=1e-9, atol=1e-12)
    for _ in range(60):
        mine.step(loss)
    assert float(loss.value()) < 1e-6


@pytest.mark.parametrize("name", ["root", "log"])
def test_a_loss_of_zero_is_the_end(name: str) -> None:
    x = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = BFGS([x], minimise=name)  # type: ignore[arg-type]
    assert float(optimizer.step(FunctionObjective([x], terms=lambda: {"loss": x.square().sum()}))) == 0
    assert torch.equal(x, torch.zeros(2, dtype=torch.float64))


def test_a_loss_that_is_not_finite_is_handed_back() -> None:
    p = nn.Parameter(torch.tensor([-1.0]))
    objective = FunctionObjective([p], terms=lambda: {"log": p.log().sum()})
    assert BFGS([p]).step(objective).isnan()
    assert float(p.detach()) == -1


@pytest.mark.parametrize("kind", [BFGS, SSBroyden])
def test_the_direction_descends_whatever_is_rounded(kind: type[DenseQuasiNewton]) -> None:
    """Curvatures over twelve orders of magnitude in single precision, whose digits are seven."""
    n, optimizer = 8, kind([nn.Parameter(torch.zeros(8))])
    q = torch.linalg.qr(normal(n, n)).Q
    a = (q @ torch.diag(torch.logspace(-6, 6, n, dtype=torch.float64)) @ q.T).float()
    for k in range(60):
        g = normal(n, seed=k).float()
        s = optimizer.direction(g)
        assert s @ g < 0
        optimizer.update(s, a @ s, g, 1.0)
    assert torch.linalg.eigvalsh(optimizer.inverse_hessian.double()).min() > -1e-6 * optimizer.inverse_hessian.max()


def test_lbfgs_clears_its_memory_when_told_to() -> None:
    p, objective = rosenbrock()
    optimizer = LBFGS(p, restart_every=4)
    pairs = []
    for _ in range(10):
        optimizer.step(objective)
        pairs.append(optimizer.memory["pairs"])
    assert pairs == [1, 2, 3, 4, 1, 2, 3, 4, 1, 2]


def test_parameters_that_do_not_fit_together_are_refused() -> None:
    one, two = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    with pytest.raises(ValueError, match="one dtype"):
        BFGS([one, two])
    with pytest.raises(ValueError, match="one group"):
        BFGS([{"params": [one]}, {"params": [two]}])
    with pytest.raises(ValueError, match="real parameters"):
        BFGS([nn.Parameter(torch.zeros(2, dtype=torch.complex64))])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(BFGS, lr=-0.1, tolerance_grad=-0.1, max_evaluations=0) == {}
    assert accepted(LBFGS, history=0, restart_every=0) == {}
