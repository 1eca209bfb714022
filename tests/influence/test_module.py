from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from modules import metrics
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.evaluation.base import Evaluation, Findings
from sciml.influence.module import Attribution
from sciml.influence.task.ridge import Ridge


class Counting(Attributor):
    """Says which query and which example; needs a gradient for it."""

    trainings = 3

    def __call__(self, task: Task, params: Params) -> Tensor:
        theta = params["theta"].clone().requires_grad_()
        theta.sum().backward()
        assert theta.grad is not None
        return theta.grad[0] * torch.arange(task.n_query * task.n_train).reshape(task.n_query, task.n_train)


class Recording(Evaluation):
    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        self.seen = task, params, scores
        return Findings({"mean": float(scores.mean())}, retrainings=7)


def attribution(attributor: Attributor) -> Attribution:
    seed_everything(0, verbose=False)
    return Attribution(task=Ridge(n_train=20, n_query=6), attributor=attributor, evaluation=Recording())


def test_the_evaluation_gets_scores_at_the_fitted_parameters_and_its_findings_are_filed() -> None:
    module = attribution(Counting())
    assert metrics(module) == {"mean": 59.5}
    assert isinstance(module.evaluation, Recording)
    task, params, scores = module.evaluation.seen
    assert torch.equal(params["theta"], task.fit(torch.ones(1, 20))["theta"][0])
    assert scores[1, 0] == 20
    cost = module.cost()
    assert cost.pop("attributor_seconds") >= 0
    assert cost == {"retrainings": 7, "attributor_trainings": 3}
    assert module.figures() == {}
    kept = module.arrays()["scores"]
    assert torch.equal(kept["scores"], scores.float())
    assert kept["queries"].tolist() == ["0", "1", "2", "3", "4", "5"]


class Transposed(Attributor):
    def __call__(self, task: Task, params: Params) -> Tensor:
        return torch.zeros(task.n_train, task.n_query)


class Undefined(Attributor):
    def __call__(self, task: Task, params: Params) -> Tensor:
        return torch.full((task.n_query, task.n_train), torch.nan)


def test_scores_of_the_wrong_shape_and_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(RunError, match=r"Transposed returned scores \(20, 6\)"):
        metrics(attribution(Transposed()))
    with pytest.raises(RunError, match="Undefined returned scores that are not finite"):
        metrics(attribution(Undefined()))


def test_the_baseline_experiment_separates_floor_and_ceiling() -> None:
    rows = {}
    for name in ("exact_hessian", "random"):
        with initialize_config_module("sciml.conf", version_base="1.3"):
            config = compose("config", ["+experiment=baseline/ridge", f"influence/attributor={name}"])
        seed_everything(0, verbose=False)
        rows[name] = metrics(instantiate(config.influence, _convert_="all"))
    assert rows["exact_hessian"]["spearman"] > 0.99
    assert rows["exact_hessian"]["pearson"] > 0.97
    # Leverage, about 8 features in 128 examples, makes removal a little stronger than its first order.
    assert 1 < rows["exact_hessian"]["scale_ratio"] < 1.25
    assert abs(rows["random"]["spearman"]) < 0.1
    assert abs(rows["random"]["scale_ratio"]) < 0.1
