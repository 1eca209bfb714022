"""R3 against a transcription of algorithm 1 with sets, and at its two ends."""

from __future__ import annotations

import pytest
import torch
from pinn_problems import convection
from torch import Tensor

from sciml.network.mlp import MLP
from sciml.pinn.base import Problem
from sciml.pinn.collocation.r3 import R3
from sciml.pinn.collocation.uniform import Uniform
from sciml.pinn.jet import Jet

N = 200


@pytest.fixture
def problem() -> Problem:
    return convection(n_x=8, n_t=8)


def setting(problem: Problem, residual: Tensor) -> tuple:
    points = problem.sample(N, torch.Generator().manual_seed(1))[problem.interior]
    return problem, Jet(MLP(2, 1, width=2, depth=1)), points, residual, torch.Generator().manual_seed(2)


def as_set(points: Tensor) -> set[tuple[float, ...]]:
    return {tuple(p) for p in points.tolist()}


def test_equals_the_algorithm(problem: Problem) -> None:
    residual = torch.rand(N, generator=torch.Generator().manual_seed(3)).double() ** 3
    args = setting(problem, residual)
    points, found = args[2], R3()(*args)
    threshold = sum(residual.tolist()) / N
    retained = {tuple(p) for p, r in zip(points.tolist(), residual.tolist(), strict=True) if r > threshold}
    assert 0 < len(retained) < N
    assert found.shape == points.shape
    assert as_set(found) & as_set(points) == retained
    # What was released is drawn from the stream of uniform points, and nothing else is there.
    candidates = problem.sample(N, torch.Generator().manual_seed(2))[problem.interior]
    assert as_set(found) - retained <= as_set(candidates)
    assert len(as_set(found)) == N


def test_equal_residuals_release_everything(problem: Problem) -> None:
    # None lies above the mean: the comparison is strict.
    args = setting(problem, torch.full((N,), 0.5))
    found = R3()(*args)
    expected = Uniform()(*args[:4], torch.Generator().manual_seed(2))
    assert torch.equal(found, expected)


def test_one_large_residual_stays(problem: Problem) -> None:
    residual = torch.full((N,), 0.1)
    residual[17] = 50.0
    args = setting(problem, residual)
    found = R3()(*args)
    assert (found == args[2]).all(dim=1).nonzero().flatten().tolist() == [17]


def test_points_gather_where_the_residual_is_large(problem: Problem) -> None:
    """Lemma of the paper in numbers: with |r| fixed in space the retained population grows until few are released."""
    points, r3, generator = setting(problem, torch.ones(N))[2], R3(), torch.Generator().manual_seed(5)
    jet = Jet(MLP(2, 1, width=2, depth=1))
    for _ in range(30):
        points = r3(problem, jet, points, torch.exp(-100 * (points[:, 0] - 0.3) ** 2), generator)
    assert ((points[:, 0] - 0.3).abs() < 0.15).double().mean() > 0.5  # uniform: 0.3
