"""Nothing stays, and what comes is uniform."""

from __future__ import annotations

import math

import torch
from pinn_problems import convection

from sciml.network.mlp import MLP
from sciml.pinn.collocation.fixed import Fixed
from sciml.pinn.collocation.uniform import Uniform
from sciml.pinn.jet import Jet

PROBLEM = convection(n_x=8, n_t=8)
JET = Jet(MLP(2, 1, width=2, depth=1))


def test_uniform_points_are_new_and_uniform() -> None:
    generator = torch.Generator().manual_seed(0)
    before = PROBLEM.sample(20000, generator)["residual"]
    after = Uniform()(PROBLEM, JET, before, torch.rand(20000), generator)
    assert not (after == before).any()
    unit = after / torch.tensor([1.0, 2 * math.pi], dtype=torch.float64)
    # Kolmogorov-Smirnov against the uniform distribution; 1.95/√n is the 0.1 % level.
    steps = torch.arange(1, 20001, dtype=torch.float64) / 20000
    for column in unit.T:
        assert (column.sort().values - steps).abs().max() < 1.95 / 20000**0.5
    assert abs(torch.corrcoef(unit.T)[0, 1]) < 4 / 20000**0.5


def test_dtype_of_the_points_is_kept() -> None:
    points = PROBLEM.sample(10, torch.Generator().manual_seed(0))["residual"].float()
    assert Uniform()(PROBLEM, JET, points, torch.rand(10), torch.Generator()).dtype == torch.float32


def test_fixed_points_stay() -> None:
    points = PROBLEM.sample(10, torch.Generator().manual_seed(0))["residual"]
    assert torch.equal(Fixed()(PROBLEM, JET, points.clone(), torch.rand(10), torch.Generator()), points)
