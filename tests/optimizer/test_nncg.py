"""NysNewton-CG: its sketch, its preconditioner and its direction against dense matrices."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.optimizer.base import FunctionObjective
from sciml.optimizer.nncg import NNCG, nystrom


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def quadratic(n: int = 20) -> tuple[nn.Parameter, FunctionObjective, Tensor, Tensor]:
    q = torch.linalg.qr(normal(n, n)).Q
    a = q @ torch.diag(torch.logspace(0, -4, n, dtype=torch.float64)) @ q.T
    b, theta = normal(n, seed=1), nn.Parameter(normal(n, seed=2))
    return theta, FunctionObjective([theta], terms=lambda: {"q": theta @ a @ theta / 2, "l": -b @ theta}), a, b


def fit(seed: int = 0) -> tuple[list[nn.Parameter], FunctionObjective]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    return list(network.parameters()), FunctionObjective(
        network.parameters(), terms=lambda: {"fit": (network(x) - torch.sin(3 * x)).square().mean()}
    )


def test_the_step_is_that_of_damped_newton() -> None:
    theta, objective, a, b = quadratic()
    start = theta.detach().clone()
    NNCG([theta], damping=1e-3, rank=5, cg_tolerance=1e-13).step(objective)
    d = torch.linalg.solve(a + 1e-3 * torch.eye(20), a @ start - b)
    torch.testing.assert_close(theta.detach(), start - d, rtol=1e-6, atol=1e-6 * float(d.norm()))


def test_a_sketch_of_full_rank_is_the_matrix_and_of_low_rank_its_large_part() -> None:
    _, objective, a, _ = quadratic()
    _, gradient, product = objective.second_order()
    vectors, values = nystrom(product, gradient, 50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, a, rtol=1e-9, atol=1e-9)
    low, some = nystrom(product, gradient, 12, torch.Generator().manual_seed(0))
    torch.testing.assert_close(low.T @ low, torch.eye(12, dtype=torch.float64), rtol=1e-9, atol=1e-9)
    error = a - low @ torch.diag(some) @ low.T
    assert torch.linalg.eigvalsh(error).min() > -1e-10  # never more than the matrix
    assert torch.linalg.matrix_norm(error, 2) < 0.1


def test_the_preconditioner_is_that_of_the_paper_and_saves_iterations() -> None:
    theta, objective, a, _ = quadratic()
    optimizer = NNCG([theta], damping=1e-3, rank=12)
    _, gradient, product = objective.second_order()
    u, s = nystrom(product, gradient, 12, torch.Generator().manual_seed(0))
    optimizer.memory.update(vectors=u, values=s, taken=0, direction=torch.zeros(20))
    eye = torch.eye(20, dtype=torch.float64)
    inverse = (s[-1] + 1e-3) * u @ torch.diag(1 / (s + 1e-3)) @ u.T + eye - u @ u.T
    v = normal(20, seed=9)
    torch.testing.assert_close(optimizer.precondition(v), inverse @ v)
    damped = a + 1e-3 * eye
    before, after = (torch.linalg.cond(m) for m in (damped, torch.linalg.solve(torch.linalg.inv(inverse), damped)))
    assert after < before / 20


def test_negative_curvature_gives_a_direction_of_descent(caplog: pytest.LogCaptureFixture) -> None:
    theta = nn.Parameter(torch.tensor([0.1, 1.0], dtype=torch.float64))
    saddle = FunctionObjective([theta], terms=lambda: {"s": (theta[0] ** 2 - 1) ** 2 + theta[1] ** 2})
    optimizer = NNCG([theta], damping=1e-3)
    with caplog.at_level(logging.WARNING, "sciml"):
        for _ in range(30):
            optimizer.step(saddle)
    assert caplog.text.count("negative curvature") == 1
    torch.testing.assert_close(theta.detach(), torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_a_direction_is_gone_on_from_only_where_it_solved_the_system() -> None:
    theta = nn.Parameter(torch.tensor([0.1, 1.0], dtype=torch.float64))
    saddle = FunctionObjective([theta], terms=lambda: {"s": (theta[0] ** 2 - 1) ** 2 + theta[1] ** 2})
    optimizer = NNCG([theta], damping=1e-3)
    optimizer.step(saddle)
    assert not optimizer.memory["direction"].any()
    theta.data[0] = 0.9  # convex here
    optimizer.step(saddle)
    assert optimizer.memory["direction"].all()


def test_descends_fast_where_a_network_is_hard() -> None:
    p, objective = fit(seed=1)
    optimizer = NNCG(p, damping=1e-5, rank=20, cg_iterations=100)
    start = float(objective.value())
    for _ in range(20):
        optimizer.step(objective)
    assert float(objective.value()) < 1e-3 * start  # 3e-3 where every direction starts from the one before


def test_an_interrupted_run_equals_one_that_is_not() -> None:
    def run(steps: int, saved: dict[str, Any] | None = None) -> tuple[list[nn.Parameter], NNCG]:
        torch.manual_seed(3)  # the sketches come from the run's seed
        p, objective = fit()
        optimizer = NNCG(p, damping=1e-4, rank=8, refresh=3, cg_iterations=20)
        if saved is not None:
            optimizer.load_state_dict(saved["optimizer"])
            for q, value in zip(p, saved["parameters"], strict=True):
                q.data.copy_(value)
        for _ in range(steps):
            optimizer.step(objective)
        return p, optimizer

    p, optimizer = run(4)
    file = io.BytesIO()
    torch.save({"parameters": [q.data for q in p], "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    resumed, _ = run(5, torch.load(file, weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(resumed, run(9)[0], strict=True))


def test_in_single_precision() -> None:
    theta = nn.Parameter(torch.ones(6))
    objective = FunctionObjective([theta], terms=lambda: {"q": (theta.square() * torch.arange(1.0, 7.0)).sum()})
    optimizer = NNCG([theta], damping=1e-3)
    for _ in range(4):
        optimizer.step(objective)
    assert float(objective.value()) < 1e-9
    assert optimizer.memory["vectors"].dtype == torch.float32


def test_what_is_out_of_range_is_refused() -> None:
    counts = {"rank": 0, "refresh": 0, "cg_iterations": 0}
    assert accepted(NNCG, lr=0.0, damping=0.0, cg_tolerance=-1e-9, armijo=1.0, **counts) == {}
