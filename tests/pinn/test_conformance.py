"""What every problem, collocation, weighting and network promises. Methods are found by their configs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from pinn_problems import convection
from torch import Generator, Tensor, nn

from sciml.conflict.base import Direction
from sciml.equation.operator import partials
from sciml.jacobian import Rows, one_by_one
from sciml.network.mlp import MLP
from sciml.pinn.base import Collocation, Problem, Weighting
from sciml.pinn.condition import Dirichlet, Periodic
from sciml.pinn.jet import Jet

CONF = Path(str(files("sciml.conf")))


def options(slot: str) -> list[str]:
    found = sorted(path.stem for path in CONF.joinpath(slot).glob("*.yaml"))
    assert found, f"conf/{slot} holds no config"
    return found


def build(slot: str, name: str, **smaller: int) -> Any:
    """What a config makes; ``smaller`` replaces those of its values that it has."""
    config: Any = OmegaConf.load(CONF / slot / f"{name}.yaml")
    for base in config.pop("defaults", []):  # a variant of another file
        if base != "_self_":
            config = OmegaConf.merge(OmegaConf.load(CONF / slot / f"{base}.yaml"), config)
    return instantiate(config, _convert_="all", **{key: value for key, value in smaller.items() if key in config})


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


def test_the_rows_of_a_jacobian_are_told_apart(problem: Problem) -> None:
    """In one backward pass, for the optimisers that ask for it: of pairs of points and of several conditions, too."""
    torch.manual_seed(0)
    field = problem.field(lambda n, m: MLP(n, m, width=3, depth=1)).double()
    jet, parameters = Jet(field), list(field.parameters())
    points = {name: x[: 5 + i] for i, (name, x) in enumerate(problem.sample(12, seeded(0)).items())}
    rows = Rows(lambda: [problem.residuals(jet, {name: x})[name] for name, x in points.items()], parameters)
    residual, jacobian = rows()
    assert rows.fast
    together = torch.cat([r.reshape(-1) for r in problem.residuals(jet, points).values()])
    torch.testing.assert_close(residual, together.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(jacobian, one_by_one(together, parameters), rtol=1e-9, atol=1e-9)


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
    collocation: Collocation = build("pinn/collocation", name, pool=500)
    start = {key: value.clone() for key, value in collocation.state_dict().items()}
    torch.manual_seed(0)
    jet = Jet(MLP(problem.in_features, problem.out_features, width=8, depth=2))

    def walk(seed: int) -> Tensor:
        generator = seeded(seed)
        points = collocation.start(problem, problem.draw(100, generator), generator).float()
        assert points.shape == (100, problem.in_features)
        collocation.load_state_dict(start)
        for _ in range(5):
            residual = problem.residuals(jet, {problem.interior: points})[problem.interior]
            magnitude = residual.detach().reshape(len(points), -1).norm(dim=1)
            gate = collocation.gate(problem, points)
            assert gate is None or (gate.shape == magnitude.shape and 0 <= gate.min() <= gate.max() <= 1)
            before = points.clone()
            chosen = collocation(problem, jet, points, magnitude, generator)
            assert torch.equal(points, before), "the points of this step are still needed"
            assert collocation.moves or torch.equal(chosen, before), "it says that it does not move"
            points = chosen
            assert len(points) > len(before) if collocation.grows else len(points) == 100
            assert points.shape[1] == problem.in_features
            assert points.dtype == torch.float32
            assert not points.requires_grad
            inside(problem, points)
        return points

    state = torch.get_rng_state()
    assert torch.equal(walk(1), walk(1)), "the generator decides"
    assert not torch.equal(walk(1), walk(2))
    assert torch.equal(torch.get_rng_state(), state), "the global generator is not touched"


RULES = {name: build("pinn/weighting", name) for name in options("pinn/weighting")}
WEIGHTINGS = [name for name, rule in RULES.items() if isinstance(rule, Weighting)]
DIRECTIONS = [name for name, rule in RULES.items() if isinstance(rule, Direction)]


def test_a_rule_weighs_or_combines() -> None:
    assert sorted(WEIGHTINGS + DIRECTIONS) == sorted(RULES)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weightings(name: str) -> None:
    weighting: Weighting = build("pinn/weighting", name)
    problem = convection()
    torch.manual_seed(0)
    network = MLP(2, 1, width=6, depth=2)
    points = {key: x.float() for key, x in problem.sample(40, seeded(0)).items()}
    jet = Jet(network)

    def evaluate() -> dict[str, Tensor]:
        return problem.residuals(jet, points)

    weighting.prepare(tuple(points))
    for _ in range(2):
        passes, evaluations = weighting.adapt(evaluate, list(network.parameters())), jet.evaluations
        assert weighting.every is not None or passes == evaluations == 0, "it says that it does not adapt"
    assert all(p.grad is None for p in network.parameters()), "adapting leaves the gradients alone"
    weights = weighting.weights()
    assert set(weights) <= set(points)
    assert all(0 < float(value) < float("inf") for value in weights.values())
    residuals = evaluate()
    scaled = weighting.scale(residuals, points)
    assert list(scaled) == list(residuals)
    assert weighting.pointwise or all(torch.equal(scaled[key], residuals[key]) for key in residuals)
    terms = {key: r.detach().square().mean().requires_grad_() for key, r in residuals.items()}
    loss = weighting(terms)
    assert loss.dim() == 0
    torch.testing.assert_close(loss, sum(weights.get(key, 1.0) * term for key, term in terms.items()))
    loss.backward()
    assert all(term.grad is not None and term.grad > 0 for term in terms.values())
    again: Weighting = build("pinn/weighting", name)
    again.prepare(tuple(points))
    again.load_state_dict(weighting.state_dict())
    assert torch.equal(again(terms), loss), "what it has learnt is saved"


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions(name: str) -> None:
    """Gradient descent along it lowers both of two losses that are in conflict, down to where they balance."""
    torch.manual_seed(0)
    rule: Direction = build("pinn/weighting", name)
    x = nn.Parameter(torch.tensor([3.0, -4.0], dtype=torch.float64))
    terms = {"a": lambda: x[0] ** 2 + 0.1 * (x[1] - 1) ** 2, "b": lambda: 20 * (x[0] - 1) ** 2 + x[1] ** 2}
    rule.prepare(tuple(terms), [x])
    first = {key: float(term().detach()) for key, term in terms.items()}
    for step in range(300):
        due = rule.due(step, tuple(terms))
        assert due
        assert set(due) <= set(terms)
        gradients = {key: torch.autograd.grad(terms[key](), x)[0] for key in due}
        copies = {key: g.clone() for key, g in gradients.items()}
        direction = rule(gradients)
        assert direction.shape == (2,)
        assert all(torch.equal(gradients[key], copies[key]) for key in due), "gradients are not written to"
        with torch.no_grad():
            x -= 0.02 * direction
    last = {key: float(term().detach()) for key, term in terms.items()}
    assert all(last[key] < 0.2 * first[key] for key in terms)


POINTWISE = [name for name in options("network") if getattr(build("network", name).func, "pointwise", False)]


@pytest.mark.parametrize("name", POINTWISE)
def test_networks(name: str) -> None:
    torch.manual_seed(0)
    network: nn.Module = build("network", name)(2, 3).double()
    x = torch.rand(20, 2, dtype=torch.float64, generator=seeded(0))
    assert network(x).shape == (20, 3)
    assert network(x).dtype == torch.float64
    torch.testing.assert_close(network(x)[5:6], network(x[5:6]), msg="rows do not mix")
    slope = 0.6 * partials(2)[0] - 1.7 * partials(2)[1]
    found = Jet(network, mode="taylor").derivatives(x, slope, slope**2)
    expected = Jet(network, mode="nested").derivatives(x, slope, slope**2)
    torch.testing.assert_close(found[0], network(x))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-10)
    sum(found).sum().backward()
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())
