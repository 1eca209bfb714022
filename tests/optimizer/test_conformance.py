"""What every optimiser promises, on quadratics. Optimisers are found by their configs."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.optim import Optimizer

from sciml.optimizer.base import FunctionObjective, Objective, ObjectiveOptimizer

FOLDER = Path(str(files("sciml.conf"))) / "optimizer"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


class Quadratic(nn.Module):
    """½ ‖A W B − C‖² with a bias: matrices of two shapes, two of one shape, a vector and a scalar."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.weights = nn.ParameterList([normal(4, 3), normal(4, 3), normal(3, 1), normal(4), normal(())])
        self.maps = [
            (normal(5, 4) / 2, normal(3, 3) / 2),
            (normal(5, 4) / 2, normal(3, 3) / 2),
            (normal(5, 3) / 2, normal(1, 1)),
        ]
        self.targets = [normal(5, 3), normal(5, 3), normal(5, 1)]

    def forward(self) -> Tensor:
        pairs = zip(self.weights, self.maps, self.targets, strict=False)
        matrices = sum((a @ w @ b - c).square().sum() for w, (a, b), c in pairs)
        return (matrices + (self.weights[3] - 1).square().sum() + (self.weights[4] - 2).square()) / 2

    def objective(self) -> Objective:
        """The same function, whose terms and residuals can be asked for."""

        def residuals() -> dict[str, Tensor]:
            pairs = zip(self.weights, self.maps, self.targets, strict=False)
            found = {f"matrix {i}": a @ w @ b - c for i, (w, (a, b), c) in enumerate(pairs)}
            vector = torch.nn.functional.linear(torch.eye(4, dtype=torch.float64), self.weights[3][None])
            found |= {"vector": vector - 1, "scalar": self.weights[4].reshape(1) - 2}
            return {name: r / 2**0.5 for name, r in found.items()}

        return FunctionObjective(self.parameters(), residuals=residuals)

    def minimum(self) -> float:
        loss, gradient, hessian = self.objective().second_order()
        matrix = hessian(torch.eye(len(gradient), dtype=torch.float64))
        return float(loss - gradient @ torch.linalg.lstsq(matrix, gradient[:, None], driver="gelsd").solution[:, 0] / 2)


@pytest.fixture(params=NAMES)
def build(request: pytest.FixtureRequest) -> Callable[[nn.Module], Optimizer]:
    node = instantiate(OmegaConf.load(FOLDER / f"{request.param}.yaml"), _convert_="all")
    return lambda module: node(module.parameters())


def take(module: Quadratic, optimizer: Optimizer, steps: int) -> None:
    if isinstance(optimizer, ObjectiveOptimizer):
        objective = module.objective()
        for _ in range(steps):
            optimizer.step(objective)
        return
    for _ in range(steps):
        optimizer.zero_grad()
        module().backward()
        optimizer.step()


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_a_quadratic_decreases(build) -> None:
    module = Quadratic()
    optimizer, losses = build(module), [Quadratic()().item()]
    for _ in range(4):
        take(module, optimizer, 8 if isinstance(optimizer, ObjectiveOptimizer) else 50)
        losses.append(module().item())
    reached = module.minimum() * (1 + 1e-10)
    assert all(later < earlier or later < reached for earlier, later in pairwise(losses)), losses


def test_the_learning_rate_is_that_of_the_group(build) -> None:
    module = Quadratic()
    optimizer = build(module)
    take(module, optimizer, 3)
    before = copy.deepcopy(module)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    take(module, optimizer, 3)
    assert same(module, before)


@pytest.mark.parametrize("steps", [0, 1, 7, 10])
def test_the_state_survives_a_file_bit_for_bit(build, steps: int) -> None:
    module = Quadratic()
    optimizer = build(module)
    take(module, optimizer, steps)
    file = io.BytesIO()
    torch.save({"weights": module.state_dict(), "optimizer": optimizer.state_dict()}, file)
    take(module, optimizer, 13)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = Quadratic()
    resumed = build(again)
    take(again, resumed, 2)  # a state that must go
    again.load_state_dict(saved["weights"])
    resumed.load_state_dict(saved["optimizer"])
    take(again, resumed, 13)
    assert same(module, again)


def test_parameters_without_gradient_stay(build) -> None:
    module = Quadratic()
    optimizer = build(module)
    if isinstance(optimizer, ObjectiveOptimizer):
        _frozen_parameters_stay(build)
        return
    take(module, optimizer, 2)
    optimizer.zero_grad()
    before = copy.deepcopy(module)
    (module.weights[0].square().sum() + module.weights[3].square().sum()).backward()
    optimizer.step()
    moved = [not torch.equal(a, b) for a, b in zip(module.parameters(), before.parameters(), strict=True)]
    assert moved == [True, False, False, True, False]
    take(module, optimizer, 5)  # and the others go on afterwards
    assert module() < before()


def _frozen_parameters_stay(build) -> None:
    module = Quadratic()
    for i in (0, 4):
        module.weights[i].requires_grad_(False)
    before, optimizer = copy.deepcopy(module), build(module)
    take(module, optimizer, 3)
    moved = [not torch.equal(a, b) for a, b in zip(module.parameters(), before.parameters(), strict=True)]
    assert moved == [False, True, True, True, False]
    assert module() < before()


def test_a_closure_is_evaluated_with_gradients(build) -> None:
    module = Quadratic()
    optimizer, expected = build(module), module().item()
    if isinstance(optimizer, ObjectiveOptimizer):
        with torch.no_grad():
            loss = optimizer.step(module.objective())
        assert float(loss) == pytest.approx(expected, rel=1e-12)
        assert not loss.requires_grad
        assert module() < expected
        return

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = module()
        loss.backward()
        return loss

    assert float(optimizer.step(closure).detach()) == expected
