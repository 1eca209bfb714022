"""What every task and attributor promises. Methods are found by their configs.

Exact attributors are held against re-training with slightly different weights: the definition, not a formula.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task


def options(slot: str) -> list[str]:
    names = sorted(f.name.removesuffix(".yaml") for f in files("sciml.conf").joinpath(f"influence/{slot}").iterdir())
    # A task that asks for a finished run has its own tests.
    return [name for name in names if not OmegaConf.missing_keys(config(slot, name))]


@lru_cache
def config(slot: str, choice: str) -> DictConfig:
    others = {"attributor": "random"} | {slot: choice}
    with initialize_config_module("sciml.conf", version_base="1.3"):
        overrides = ["+influence=default", *(f"influence/{s}={c}" for s, c in others.items())]
        return compose("config", overrides).influence[slot]


def declared(slot: str, choice: str) -> Any:
    return get_class(config(slot, choice)._target_)


def build(slot: str, choice: str, **parameters: Any) -> Any:
    torch.manual_seed(0)
    node = config(slot, choice)
    known = {key: value for key, value in parameters.items() if key in node}
    return instantiate(node, **known, _convert_="all")


@lru_cache
def task(name: str) -> Task:
    return build("task", name, n_train=12, n_query=5)


@lru_cache
def fitted(problem: Task) -> Params:
    return {name: p[0].detach() for name, p in problem.fit(torch.ones(1, problem.n_train)).items()}


def finite_differences(problem: Task, step: float = 1e-4) -> Tensor:
    """-dm_q / dw_i by re-training with both weights, ``(n_query, n_train)``."""
    shift = step * torch.eye(problem.n_train, dtype=torch.float64)
    weights = torch.cat([1 + shift, 1 - shift])
    measured = torch.func.vmap(problem.measure)(problem.fit(weights))
    up, down = measured.split(problem.n_train)
    return -(up - down).T / (2 * step)


OPTIMAL = [name for name in options("task") if declared("task", name).optimal]  # the others end where their recipe ends


def defined(attributor: str, data: str) -> bool:
    """Whether the scores of an attributor are: exact ones are defined at an optimum only."""
    of = declared("attributor", attributor)
    return data in OPTIMAL or not (of.exact and issubclass(declared("task", data), of.needs))


@pytest.mark.parametrize("name", OPTIMAL)
def test_fitting_finds_the_optimum_of_the_weighted_objective(name: str) -> None:
    problem = task(name)
    weights = torch.rand(3, problem.n_train, dtype=torch.float64) * 2
    weights[:, 0] = 0
    params = problem.fit(weights)
    for run in range(3):
        theta = {key: p[run] for key, p in params.items()}

        def objective(theta: Params, run: int = run) -> Tensor:
            penalty = sum(p.square().sum() for p in theta.values())
            return (weights[run] * problem.losses(theta)).sum() + problem.decay / 2 * penalty

        gradient = torch.func.grad(objective)(theta)
        loss_gradients = torch.func.jacrev(problem.losses)(theta)
        for key in theta:
            scale = loss_gradients[key].abs().sum(0).max()
            assert scale > 0
            assert gradient[key].abs().max() < 1e-9 * scale


@pytest.mark.parametrize("name", options("task"))
def test_a_task_has_the_declared_numbers_of_losses_and_measurements(name: str) -> None:
    problem = task(name)
    params = fitted(problem)
    assert problem.losses(params).shape == (problem.n_train,)
    assert problem.measure(params).shape == (problem.n_query,)


@pytest.mark.parametrize(
    ("data", "name"), [(d, a) for d in options("task") for a in options("attributor") if defined(a, d)]
)
def test_scores_are_finite_and_one_for_each_query_and_example(data: str, name: str) -> None:
    problem = task(data)
    attributor: Attributor = build("attributor", name, depth=3, max_steps=3)
    if not isinstance(problem, attributor.needs):
        with pytest.raises(RunError, match=f"needs a {attributor.needs.__name__}"):
            attributor(problem, fitted(problem))
        return
    scores = attributor(problem, fitted(problem))
    assert scores.shape == (problem.n_query, problem.n_train)
    assert torch.isfinite(scores).all()
    assert scores.std() > 0


@pytest.mark.parametrize("name", [name for name in options("attributor") if declared("attributor", name).exact])
@pytest.mark.parametrize("data", OPTIMAL)
def test_exact_scores_are_the_effect_of_reweighting_in_sign_and_scale(name: str, data: str) -> None:
    problem = task(data)
    attributor: Attributor = build("attributor", name)
    expected = finite_differences(problem)
    found = attributor(problem, fitted(problem))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("data", OPTIMAL)
def test_the_differences_themselves_see_removal_with_the_right_sign(data: str) -> None:
    """First order: leaving an example out does what the differences say, up to its leverage."""
    problem = task(data)
    weights = torch.cat([torch.ones(1, problem.n_train), 1 - torch.eye(problem.n_train)])
    measured = torch.func.vmap(problem.measure)(problem.fit(weights))
    changes = (measured[1:] - measured[0]).T
    predicted = finite_differences(problem)
    assert (changes * predicted).sum() / predicted.square().sum() > 0.5
