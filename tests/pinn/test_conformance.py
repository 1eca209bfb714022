"""What every problem, collocation, weighting and network promises. Methods are found by their configs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Generator, Tensor, nn

from sciml.equation.operator import partials
from sciml.network.mlp import MLP
from sciml.pinn.base import Collocation, Problem, Weighting
from sciml.pinn.condition import Dirichlet, Periodic
from sciml.pinn.jet import Jet

CONF = Path(str(files("sciml.conf")))


def options(slot: str) -> list[str]:
    found = sorted(path.stem for path in CONF.joinpath(slot).glob("*.yaml"))
    assert found, f"conf/{slot} holds no config"
    return found


def build(slot: str, name: str) -> Any:
    return instantiate(OmegaConf.load(CONF / slot / f"{name}.yaml"), _convert_="all")


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


class Perturbed(nn.Module):
    """The reference with a smooth error of size ε that vanishes nowhere in particular."""

    def __init__(self, problem: Problem, epsilon: float) -> None:
        super().__init__()
        self.problem, self.epsilon = problem, epsilon

    def forward(self, x: Tensor) -> Tensor:
        slopes = torch.arange(1, x.shape[1] + 1, dtype=x.dtype) / x.shape[1]
        return self.problem.reference(x) + self.epsilon * torch.exp((x * slopes).sum(-1, keepdim=True) / 3)


@pytest.fixture(params=options("pinn/problem"))
def problem(request: pytest.FixtureRequest) -> Problem:
    return build("pinn/problem", request.param)


def residuals(problem: Problem, epsilon: float) -> dict[str, Tensor]:
    return problem.residuals(Jet(Perturbed(problem, epsilon)), problem.sample(300, seeded(0)))


def test_the_reference_zeroes_every_residual(problem: Problem) -> None:
    for name, residual in residuals(problem, 0.0).items():
        assert residual.abs().max() <= problem.tolerance, name


def test_a_perturbed_reference_zeroes_none(problem: Problem) -> None:
    epsilon = 1e-3
    assert problem.tolerance < epsilon / 100
    for name, residual in residuals(problem, epsilon).items():
        assert residual.square().mean().sqrt() > epsilon / 10, name


def test_taylor_mode_and_nested_differentiation_agree(problem: Problem) -> None:
    torch.manual_seed(0)
    field = problem.field(lambda n, m: MLP(n, m, width=12, depth=3)).double()
    points = problem.sample(40, seeded(1))
    # Round about the box, where nothing vanishes by symmetry.
    points[problem.interior] = points[problem.interior] @ rotation(problem.in_features)
    taylor, nested = (problem.residuals(Jet(field, mode=mode), points) for mode in ("taylor", "nested"))
    for name, residual in nested.items():
        size = float(residual.detach().abs().max())
        assert size > 1e-3, "a random network solves nothing"
        torch.testing.assert_close(taylor[name], residual, rtol=1e-10, atol=1e-10 * size)


def rotation(n: int) -> Tensor:
    """A rotation by 0.1 in each plane."""
    upper = torch.ones(n, n, dtype=torch.float64).triu(1)
    return torch.linalg.matrix_exp(0.1 * (upper - upper.T))


HARD = [name for name in options("pinn/problem") if name.endswith("_hard")]


@pytest.mark.parametrize("name", HARD)
def test_what_is_built_in_is_met_by_any_network(name: str) -> None:
    """A problem x_hard leaves out conditions of the problem x: those are met."""
    soft, hard = build("pinn/problem", name.removesuffix("_hard")), build("pinn/problem", name)
    built_in = {key: condition for key, condition in soft.conditions.items() if key not in hard.conditions}
    assert built_in
    for key, condition in built_in.items():
        # An embedding makes a field periodic; where values are given on that axis, the equation's symmetry does the
        # rest.
        if isinstance(condition, Dirichlet) and hard.harmonics:
            soft.conditions[key] = Periodic(n=condition.n, order=2, axis=next(iter(hard.harmonics)))
    torch.manual_seed(0)
    field = hard.field(lambda n, m: MLP(n, m, width=12, depth=3)).double()
    points = soft.sample(20, seeded(2))
    found = soft.residuals(Jet(field), {key: points[key] for key in built_in})
    for key, residual in found.items():
        assert residual.abs().max() < 1e-12, key
    interior = points[soft.interior]
    assert (field(interior) - soft.reference(interior)).abs().max() > 1e-3, "the network is still free inside"


def test_a_problem_says_what_it_is(problem: Problem) -> None:
    points = problem.sample(30, seeded(0))
    assert problem.interior in points
    assert points[problem.interior].shape == (30, problem.in_features)
    assert len(problem.axes) == problem.in_features
    assert len(problem.outputs) == problem.out_features
    for name, x in points.items():
        assert name.isidentifier()
        assert x.dtype == torch.float64
        assert x.shape[-1] == problem.in_features
        found = problem.residuals(Jet(Perturbed(problem, 0.1)), {name: x})
        assert list(found) == [name], "only the conditions asked for"
        assert len(found[name]) == len(x), "the first dimension counts the points"
    x = points[problem.interior].float()
    assert problem.reference(x).dtype == torch.float64
    assert problem.reference(x).shape == (30, problem.out_features)


def test_sampling_follows_the_generator(problem: Problem) -> None:
    first, again, other = (problem.sample(50, seeded(s))[problem.interior] for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    inside(problem, problem.sample(2000, seeded(3))[problem.interior])


def inside(problem: Problem, x: Tensor) -> None:
    for column, axis in zip(x.double().T, problem.axes.values(), strict=True):
        step = axis[1] - axis[0]  # a periodic axis leaves its end out
        assert column.min() >= axis[0]
        assert column.max() <= axis[-1] + step * (1 + 1e-6)


@pytest.mark.parametrize("name", options("pinn/collocation"))
def test_collocations(problem: Problem, name: str) -> None:
    collocation: Collocation = build("pinn/collocation", name)
    torch.manual_seed(0)
    jet = Jet(MLP(problem.in_features, problem.out_features, width=8, depth=2))

    def walk(seed: int) -> Tensor:
        generator = seeded(seed)
        points = problem.sample(100, generator)[problem.interior].float()
        for _ in range(5):
            residual = problem.residuals(jet, {problem.interior: points})[problem.interior]
            magnitude = residual.detach().reshape(100, -1).norm(dim=1)
            before = points.clone()
            chosen = collocation(problem, jet, points, magnitude, generator)
            assert torch.equal(points, before), "the points of this step are still needed"
            assert collocation.moves or torch.equal(chosen, before), "it says that it does not move"
            points = chosen
            assert points.shape == (100, problem.in_features)
            assert points.dtype == torch.float32
            assert not points.requires_grad
            inside(problem, points)
        return points

    state = torch.get_rng_state()
    assert torch.equal(walk(1), walk(1)), "the generator decides"
    assert not torch.equal(walk(1), walk(2))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"


@pytest.mark.parametrize("name", options("pinn/weighting"))
def test_weightings(name: str) -> None:
    weighting: Weighting = build("pinn/weighting", name)
    terms = {key: torch.tensor(value, requires_grad=True) for key, value in (("a", 2.0), ("b", 3.0))}
    weighting.eval()
    loss = weighting(terms)
    assert loss.dim() == 0
    assert torch.equal(loss, weighting(terms)), "nothing adapts in evaluation mode"
    loss.backward()
    assert all(term.grad is not None and term.grad >= 0 for term in terms.values())


POINTWISE = [name for name in options("network") if getattr(build("network", name).func, "pointwise", False)]


@pytest.mark.parametrize("name", POINTWISE)
def test_networks(name: str) -> None:
    torch.manual_seed(0)
    network: nn.Module = build("network", name)(2, 3).double()
    x = torch.rand(20, 2, dtype=torch.float64, generator=seeded(0))
    assert network(x).shape == (20, 3)
    assert network(x).dtype == torch.float64
    torch.testing.assert_close(network(x)[5:6], network(x[5:6]), msg="rows do not mix")
    direction, h = torch.tensor([0.6, -1.7], dtype=torch.float64), 1e-5
    u, du = Jet(network, mode="taylor").derivatives(x, 0.6 * partials(2)[0] - 1.7 * partials(2)[1])
    torch.testing.assert_close(u, network(x))
    differences = (network(x + h * direction) - network(x - h * direction)) / (2 * h)
    torch.testing.assert_close(du, differences, rtol=1e-7, atol=1e-8)
    du.sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
