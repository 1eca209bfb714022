from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from supervised_toy import toy

from sciml.data import cache
from sciml.data.stream import stream
from sciml.errors import ConfigError, RunError
from sciml.influence.base import Params
from sciml.influence.evaluation.pbrf import PBRF
from sciml.influence.flat import flatten, unflatten
from sciml.influence.task.ridge import Ridge
from sciml.influence.task.supervised import Supervised


def fitted(task: Supervised) -> Params:
    return {name: p[0] for name, p in task.fit(torch.ones(1, 30)).items()}


def test_for_a_linear_model_the_response_is_in_closed_form() -> None:
    """Bregman terms are quadratic there: (G + delta - x x^T) shift = r x, by Sherman and Morrison."""
    task = toy(network=torch.nn.Linear, standardise=True)
    params = fitted(task)
    x = torch.cat([task.x, torch.ones(30, 1)], 1)
    gram = x.T @ x
    delta = task.decay + 0.2 * float(gram.trace()) / 4
    residual = (task.outputs(params, task.x) - task.y)[:, 0]
    chosen = torch.randperm(30, generator=stream("pbrf"))[:5]
    responses = torch.zeros(8, 30)
    for i in chosen:
        matrix = gram + delta * torch.eye(4) - torch.outer(x[i], x[i])
        moved = flatten(params) + torch.linalg.solve(matrix, residual[i] * x[i])
        responses[:, i] = task.measure(unflatten(moved, params)) - task.measure(params)
    found = PBRF(examples=5, damping=0.2, tolerance=1e-9, batch_size=2)(task, params, responses)
    assert found.metrics["pearson"] == pytest.approx(1, abs=1e-8)
    assert found.metrics["spearman"] == pytest.approx(1)
    assert found.metrics["scale_ratio"] == pytest.approx(1, abs=1e-8)
    assert found.metrics["residual"] < 1e-9
    assert found.retrainings == 5


@pytest.mark.parametrize("damping_of", ["layer", "all"])
@pytest.mark.parametrize("classes", [0, 3])
def test_the_response_is_a_minimum_of_the_objective_written_out(classes: int, damping_of: Any) -> None:
    task = toy(classes=classes)
    params = fitted(task)
    evaluation = PBRF(examples=3, damping=0.1, damping_of=damping_of, tolerance=1e-8)
    theta, _ = evaluation._respond(task, params, torch.tensor([4, 9, 11]))
    start = task.outputs(params, task.x).detach().requires_grad_()
    slope = torch.autograd.grad(task.likelihood.loss(start, task.y).sum(), start)[0]
    rows = task.jacobian(params)
    square = rows.square().sum(0)
    # The layers of an MLP 3-6-6: 24, 42 and 7 or, with three classes, 21 parameters.
    sizes = [24, 42, 21 if classes else 7] if damping_of == "layer" else [rows.shape[1]]
    delta = task.decay + 0.1 * torch.cat([block.mean().expand_as(block) for block in square.split(sizes)])

    def objective(theta: torch.Tensor, i: int) -> torch.Tensor:
        z = task.outputs(unflatten(theta, params), task.x)
        distance = task.likelihood.loss(z, task.y) - task.likelihood.loss(start.detach(), task.y)
        distance = distance - (slope * (z - start.detach())).sum(1)
        assert distance.min() > -1e-12
        return distance.sum() - task.likelihood.loss(z, task.y)[i] + (delta * (theta - flatten(params)) ** 2).sum() / 2

    for k, i in enumerate((4, 9, 11)):
        at = theta[k].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(at, i), at)
        assert gradient.norm() < 1e-6
        assert objective(theta[k], i) < objective(flatten(params), i)


def test_the_response_is_kept_for_the_next_attributor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task, scores = toy(), torch.rand(8, 30)
    params, evaluation = fitted(task), PBRF(examples=3)
    first = evaluation(task, params, scores).metrics
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    assert evaluation(task, params, scores).metrics == first
    monkeypatch.setattr(PBRF, "_respond", None)
    assert evaluation(task, params, scores).metrics == first
    with pytest.raises(TypeError):
        PBRF(examples=3, damping=0.2)(task, params, scores)


def test_an_example_without_a_response_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    task = toy()
    response, residual = torch.rand(8, 12), torch.zeros(12)
    chosen = torch.randperm(30, generator=stream("pbrf"))[:12]
    scores = torch.zeros(8, 30)
    scores[:, chosen] = response / 2
    response[:, 7], residual[7] = 1e6, 3.0
    monkeypatch.setattr(PBRF, "_response", lambda *_: (response, residual))
    found = PBRF(examples=12)(task, fitted(task), scores).metrics
    assert found["unanswered"] == 1
    assert found["pearson"] == pytest.approx(1)
    assert found["scale_ratio"] == pytest.approx(2)
    assert found["residual"] == 0


def test_what_it_cannot_do_is_said() -> None:
    with pytest.raises(ConfigError, match="needs a task with a network"):
        PBRF()(Ridge(), {}, torch.zeros(32, 128))
    task = toy()
    with pytest.raises(RunError, match=r"30 of 30 examples have none within influence.evaluation.rounds"):
        PBRF(iterations=1, rounds=1, tolerance=1e-12)(task, fitted(task), torch.zeros(8, 30))
