from __future__ import annotations

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import Trainer, seed_everything

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.module import Attribution
from sciml.influence.task.ridge import Ridge


def run(module: Attribution) -> dict[str, float]:
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, max_epochs=-1
    )
    trainer.test(module, verbose=False)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


class Oracle(Attributor):
    """Leaves out and fits again, one example after the other; then scales what it saw."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, task: Task, params: Params) -> torch.Tensor:
        columns = []
        for i in range(task.n_train):
            weights = torch.ones(1, task.n_train)
            weights[0, i] = 0
            left_out = {name: p[0] for name, p in task.fit(weights).items()}
            columns.append(self.scale * (task.measure(left_out) - task.measure(params)))
        return torch.stack(columns, dim=1)


def attribution(attributor: Attributor, **parameters: int) -> Attribution:
    seed_everything(0, verbose=False)
    return Attribution(task=Ridge(n_train=20, n_query=6), attributor=attributor, **parameters)


@pytest.mark.parametrize("batch_size", [256, 7])
def test_actual_leave_one_out_scores_one_everywhere(batch_size: int) -> None:
    module = attribution(Oracle(), batch_size=batch_size)
    assert run(module) == pytest.approx({"spearman": 1, "pearson": 1, "scale_ratio": 1})
    assert module.cost() == {"retrainings": 21}
    assert set(module.figures()) == {"predicted_against_actual"}


def test_sign_and_scale_are_seen() -> None:
    assert run(attribution(Oracle(-2.0))) == pytest.approx({"spearman": -1, "pearson": -1, "scale_ratio": -0.5})


class Cubed(Attributor):
    def __call__(self, task: Task, params: Params) -> torch.Tensor:
        return Oracle()(task, params) ** 3


def test_spearman_sees_the_order_and_pearson_the_values() -> None:
    found = run(attribution(Cubed()))
    assert found["spearman"] == pytest.approx(1)
    assert found["pearson"] < 0.98


class Transposed(Attributor):
    def __call__(self, task: Task, params: Params) -> torch.Tensor:
        return torch.zeros(task.n_train, task.n_query)


def test_scores_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(RunError, match=r"Transposed returned scores \(20, 6\)"):
        run(attribution(Transposed()))


def test_the_baseline_experiment_separates_floor_and_ceiling() -> None:
    rows = {}
    for name in ("exact_hessian", "random"):
        with initialize_config_module("sciml.conf", version_base="1.3"):
            config = compose("config", ["+experiment=baseline/ridge", f"influence/attributor={name}"])
        seed_everything(0, verbose=False)
        rows[name] = run(instantiate(config.influence, _convert_="all"))
    assert rows["exact_hessian"]["spearman"] > 0.99
    assert rows["exact_hessian"]["pearson"] > 0.97
    # Leverage, about 8 features in 128 examples, makes removal a little stronger than its first order.
    assert 1 < rows["exact_hessian"]["scale_ratio"] < 1.25
    assert abs(rows["random"]["spearman"]) < 0.1
    assert abs(rows["random"]["scale_ratio"]) < 0.1
