"""Where the conditions' points lie, and what each residual measures."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pinn_problems import convection
from refusals import accepted
from torch import Tensor, nn

from sciml.equation.advection import Advection
from sciml.equation.convection import Convection
from sciml.errors import ConfigError
from sciml.network.mlp import MLP
from sciml.pinn.condition import Dirichlet, Initial, Periodic, Slope
from sciml.pinn.jet import Jet
from sciml.pinn.problem.box import Box

PROBLEM = convection(beta=30.0, n_x=16, n_t=11)


class Field(nn.Module):
    """t² + x, whose residuals are known everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1] ** 2 + x[:, 1:]


def test_points_of_the_conditions() -> None:
    points = PROBLEM.sample(50, torch.Generator().manual_seed(0))
    x = 2 * math.pi * torch.arange(16, dtype=torch.float64) / 16  # the end is the start and is left out
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(points["initial"], torch.stack([torch.zeros(16).double(), x], dim=1))
    torch.testing.assert_close(points["boundary"][:, 0], torch.stack([t, torch.zeros(11).double()], dim=1))
    torch.testing.assert_close(
        points["boundary"][:, 1], torch.stack([t, torch.full((11,), 2 * math.pi).double()], dim=1)
    )
    assert points["residual"].shape == (50, 2)
    assert list(PROBLEM.axes) == ["t", "x"]
    torch.testing.assert_close(PROBLEM.axes["x"], x)


def test_residuals_of_a_known_function() -> None:
    points = PROBLEM.sample(50, torch.Generator().manual_seed(0))
    found = PROBLEM.residuals(Jet(Field()), points)
    t, x = points["residual"].split(1, dim=1)
    torch.testing.assert_close(found["residual"], 2 * t + 30.0)
    x = points["initial"][:, 1:]
    torch.testing.assert_close(found["initial"], x - torch.sin(x))
    torch.testing.assert_close(found["boundary"], torch.full((11, 1), -2 * math.pi).double())


def test_only_the_conditions_asked_for() -> None:
    points = PROBLEM.sample(5, torch.Generator().manual_seed(0))
    jet = Jet(Field())
    for names in (["residual"], ["initial"], ["boundary"], ["initial", "boundary"], []):
        found = PROBLEM.residuals(jet, {name: points[name] for name in names})
        assert list(found) == names
        for name in names:
            torch.testing.assert_close(found[name], PROBLEM.residuals(jet, points)[name])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"conditions": {"wall": Dirichlet(n=1)}},
            r"'wall' received too few points \(n is 1\); .* at least 2",
        ),
        ({"conditions": {"start": Initial(n=0)}}, "condition 'start' received no points"),
        ({"conditions": {"residual": Initial(n=5)}}, "'residual' is the equation itself"),
        ({"grid": {"t": 5, "y": 5}}, "grid names t, y; the inputs are t, x"),
        ({"periodic": {"y": 1}}, "periodic: no input 'y'"),
        ({"equation": Advection(), "ansatz": True}, "Advection has none"),
    ],
)
def test_errors_name_the_setting(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Box(**{"equation": Convection(), "conditions": {}, "grid": {"t": 5, "x": 5}} | settings)


def test_a_domain_without_extent() -> None:
    equation = Convection()
    equation.upper = (-1.0, 1.0)
    with pytest.raises(ConfigError, match=r"domain of t is \[0, -1\]"):
        Box(equation=equation, conditions={}, grid={"t": 5, "x": 5})


def test_points_of_a_dirichlet_boundary_lie_on_every_face() -> None:
    generator = torch.Generator().manual_seed(0)
    for condition, n in ((Dirichlet(n=40), 40), (Dirichlet(n=40, random=False), 40)):
        x = condition.sample(Convection(), generator)
        assert x.shape == (n, 2)
        for end in (0.0, 2 * math.pi):
            face = x[x[:, 1] == end]
            assert len(face) == 20
            assert face[:, 0].min() < 0.2
            assert face[:, 0].max() > 0.8
    assert set(x[:, 0].tolist()) == set((torch.arange(20).double() / 19).tolist()), "equidistant, both ends included"


def test_periodic_pairs_match_derivatives() -> None:
    condition = Periodic(n=7, order=1)
    x = condition.sample(Convection(), torch.Generator().manual_seed(0))
    assert x.shape == (7, 2, 2)
    assert torch.equal(x[:, 0, 0], x[:, 1, 0])
    problem = Box(equation=Convection(), conditions={"both": condition}, grid={"t": 5, "x": 5})
    found = problem.residuals(Jet(Field()), {"both": x})["both"]
    torch.testing.assert_close(found, torch.tensor([[-2 * math.pi, 0.0]], dtype=torch.float64).expand(7, 2))


def test_a_slope_is_prescribed_at_the_upper_end() -> None:
    condition = Slope(n=5, random=False)
    x = condition.sample(Convection(), torch.Generator())
    expected = torch.stack([torch.linspace(0, 1, 5), torch.full((5,), 2 * math.pi)], dim=1).double()
    torch.testing.assert_close(x, expected)
    problem = Box(equation=Convection(), conditions={"slope": condition}, grid={"t": 5, "x": 5})
    # The field's slope is 1 everywhere, the solution's cos(x − βt).
    found = problem.residuals(Jet(Field()), {"slope": x})["slope"]
    torch.testing.assert_close(found[:, 0], 1 - torch.cos(30 * x[:, 0]))


def test_an_embedding_is_periodic_and_its_grid_leaves_the_end_out() -> None:
    problem = Box(equation=Convection(), conditions={}, grid={"t": 5, "x": 6}, periodic={"x": 3}, scale=True)
    field = problem.field(lambda n, m: MLP(n, m, width=6, depth=2)).double()
    left = torch.tensor([[0.3, 0.7]], dtype=torch.float64)
    torch.testing.assert_close(field(left), field(left + torch.tensor([0.0, 2 * math.pi]).double()))
    assert not torch.allclose(field(left), field(left + torch.tensor([0.0, math.pi]).double()))
    assert problem.axes["x"][-1] < 2 * math.pi
    features = []
    record = problem.field(lambda n, m: Recorder(n, m, features))
    record(torch.tensor([[0.0, 0.0], [1.0, math.pi / 2]], dtype=torch.float64))
    one = [[math.sin(k * a) for k in (1, 2, 3)] + [math.cos(k * a) for k in (1, 2, 3)] for a in (0.0, math.pi / 2)]
    expected = torch.tensor([[-1.0, *one[0]], [1.0, *one[1]]], dtype=torch.float64)
    torch.testing.assert_close(features[0], expected)


class Recorder(nn.Module):
    def __init__(self, n: int, m: int, seen: list[Tensor]) -> None:
        super().__init__()
        assert n == 7
        self.seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(x)
        return x[:, :1]


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Box, grid={"x": 1}, periodic={"x": 0}) == {}
