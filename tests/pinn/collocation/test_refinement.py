"""RAD, RAR-G and RAR-D on a residual whose distribution is known: |r| = t."""

from __future__ import annotations

import pytest
import torch
from pinn_problems import convection
from refusals import accepted
from torch import Tensor

from sciml.errors import ConfigError
from sciml.network.mlp import MLP
from sciml.pinn.base import Points, Problem
from sciml.pinn.collocation.rad import RAD, morton, systematic
from sciml.pinn.collocation.rar_d import RARD
from sciml.pinn.collocation.rar_g import RARG
from sciml.pinn.collocation.refinement import density
from sciml.pinn.jet import Jet


def problem(monkeypatch: pytest.MonkeyPatch) -> Problem:
    made = convection(n_x=8, n_t=8)

    def residuals(jet: Jet, points: Points) -> dict[str, Tensor]:
        assert list(points) == [made.interior]
        jet.evaluations += len(points[made.interior])
        return {made.interior: -points[made.interior][:, :1]}

    monkeypatch.setattr(made, "residuals", residuals)
    return made


def setting(monkeypatch: pytest.MonkeyPatch, n: int) -> tuple:
    made, generator = problem(monkeypatch), torch.Generator().manual_seed(0)
    points = made.draw(n, generator)
    return made, Jet(MLP(2, 1, width=2, depth=1)), points, torch.rand(n), generator


def distance(times: Tensor, distribution: Tensor) -> float:
    """Kolmogorov-Smirnov distance times √n, whose 0.1 % level is 1.95; ``distribution`` is that at the sorted times."""
    steps = torch.arange(1, len(times) + 1, dtype=torch.float64) / len(times)
    return float((distribution - steps).abs().max()) * len(times) ** 0.5


def test_density_is_the_formula() -> None:
    residual = [0.0, 1.0, 2.0, 5.0]
    mean = sum(r**3 for r in residual) / 4
    expected = torch.tensor([r**3 / mean + 0.5 for r in residual], dtype=torch.float64)
    torch.testing.assert_close(density(torch.tensor(residual), k=3.0, c=0.5), expected)
    assert (density(torch.zeros(3), k=2.0, c=0.0) > 0).all(), "something can still be chosen"


@pytest.mark.parametrize(("k", "c"), [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (2.0, 0.0)])
def test_rad_draws_all_points_from_the_density(monkeypatch: pytest.MonkeyPatch, k: float, c: float) -> None:
    args = setting(monkeypatch, 1000)
    chosen = RAD(pool=60000, k=k, c=c)(*args)
    assert args[1].evaluations == 60000, "the look is counted"
    assert chosen.shape == (1000, 2)
    assert len(torch.unique(chosen, dim=0)) == 1000, "each point once"
    t = chosen[:, 0].sort().values
    # t^k / E t^k + c, integrated and normalised.
    assert distance(t, (t ** (k + 1) + c * t) / (1 + c)) < 1.95


@pytest.mark.parametrize(("k", "c"), [(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)])
def test_stratified_draws_have_the_density_without_gaps(monkeypatch: pytest.MonkeyPatch, k: float, c: float) -> None:
    args = setting(monkeypatch, 1000)
    rule = RAD(pool=60000, k=k, c=c, stratified=True)
    chosen = rule(*args)
    assert len(torch.unique(chosen, dim=0)) == 1000, "each point once"
    t = chosen[:, 0].sort().values
    assert distance(t, (t ** (k + 1) + c * t) / (1 + c)) < 0.5, "closer than independent draws come in one of a hundred"
    assert not torch.equal(rule(*args), chosen)
    first = rule.start(args[0], args[2], args[4])
    assert distance(first[:, 0].sort().values, first[:, 0].sort().values) < 0.2


def test_a_mean_over_stratified_draws_is_closer(monkeypatch: pytest.MonkeyPatch) -> None:
    args = setting(monkeypatch, 400)
    spread = []
    for stratified in (False, True):
        rule = RAD(pool=20000, k=0.0, c=1.0, stratified=stratified)
        draws = [rule(*args) for _ in range(20)]
        spread.append(float(torch.stack([torch.sin(5 * x[:, 0]).mul(x[:, 1]).mean() for x in draws]).std()))
    assert spread[1] < 0.2 * spread[0]


def test_the_curve_visits_neighbours_one_after_the_other() -> None:
    x, y = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    grid = torch.stack([x, y], dim=-1).reshape(-1, 2)
    visited = grid[morton((grid + 0.5) / 4).argsort()].tolist()
    assert visited[:8] == [[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [3, 0], [2, 1], [3, 1]]
    assert morton(torch.ones(1, 3)).item() == 2**48 - 1, "the far corner is the end"
    assert len(morton(torch.rand(5, 70))) == 5, "more axes than bits"


def test_systematic_draws_take_each_index_as_often_as_its_weight_says() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.tensor([1.0, 2.0, 50.0, 3.0, 4.0], dtype=torch.float64)
    counts = torch.zeros(5)
    for _ in range(4000):
        chosen = systematic(weights, 3, generator)
        assert len(chosen.unique()) == 3
        counts[chosen] += 1
    # One is certain; the others share two places in proportion.
    torch.testing.assert_close(counts / 4000, torch.tensor([0.2, 0.4, 1.0, 0.6, 0.8]), rtol=0, atol=0.03)
    assert systematic(weights, 5, generator).tolist() == [0, 1, 2, 3, 4]


def test_rad_needs_a_pool_to_choose_from(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _, points, _, generator = setting(monkeypatch, 100)
    with pytest.raises(ConfigError, match="pool is 99; it must hold the 100 points"):
        RAD(pool=99).start(made, points, generator)


def test_rar_g_adds_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    made, jet, points, residual, generator = setting(monkeypatch, 50)
    state = generator.get_state()
    chosen = RARG(pool=3000, add=7)(made, jet, points, residual, generator)
    assert torch.equal(chosen[:50], points)
    generator.set_state(state)
    candidates = made.draw(3000, generator)
    largest = sorted(candidates.tolist(), key=lambda point: -point[0])[:7]
    assert {tuple(p) for p in chosen[50:].tolist()} == {tuple(p) for p in largest}


def test_rar_d_adds_from_the_density(monkeypatch: pytest.MonkeyPatch) -> None:
    args = setting(monkeypatch, 50)
    chosen = RARD(pool=60000, add=1000)(*args)
    assert torch.equal(chosen[:50], args[2])
    t = chosen[50:, 0].sort().values
    assert distance(t, t**3) < 1.95  # k = 2


def test_growth_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    made, jet, points, _, generator = setting(monkeypatch, 50)
    rule, sizes = RARG(pool=100, add=20, most=85), []
    for _ in range(3):
        points = rule(made, jet, points, torch.rand(len(points)), generator)
        sizes.append(len(points))
    assert sizes == [70, 85, 85]
    assert jet.evaluations == 200, "what is full does not look"


def test_more_points_are_added_than_the_pool_has() -> None:
    with pytest.raises(ConfigError, match=r"collocation\.add is 11; it must be at most the pool of 10"):
        RARG(pool=10, add=11)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(RAD, every=0, pool=0, k=-0.1, c=-0.1) == {}
    assert accepted(RARD, every=0, add=0, k=-0.1) == {}
    assert accepted(RARG, pool=0, add=0) == {}
