from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.folder import RunFolder
from sciml.influence.task.operator_run import OperatorRun
from sciml.run import evaluate, load


def task(run: Path, **settings: Any) -> OperatorRun:
    return OperatorRun(**{"run": str(run), "n_query": 3, **settings})


def test_losses_and_measurements_are_those_of_the_run(operator_run: Path) -> None:
    reported = evaluate(RunFolder(operator_run))
    for steps, name in ((1, "rel_l2"), (None, "rel_l2_rollout")):
        found = task(operator_run, n_query=5, steps=steps)
        assert float(found.measure(found._zero()).mean()) == pytest.approx(reported[name], rel=1e-4)
    fine = task(operator_run, n_query=5, steps=1, split="test_fine")
    assert float(fine.measure(fine._zero()).mean()) == pytest.approx(reported["rel_l2_fine"], rel=1e-4)
    module = load(operator_run)
    train = module.dataset.splits()["train"]  # type: ignore[union-attr, operator]
    with torch.no_grad():
        errors = (module.stepper.predict(train.input) - train.target[:, 0]).flatten(1).norm(dim=1)  # type: ignore[operator]
    expected = errors / train.target.flatten(1).norm(dim=1) / len(errors)
    torch.testing.assert_close(found.losses(found._zero()).float(), expected, rtol=1e-4, atol=0)


def test_the_rows_make_the_gauss_newton_matrix(operator_run: Path) -> None:
    """J^T H J with the Hessian H of the norm by differentiation, example by example."""
    found = task(operator_run)
    params = found._zero()

    def states(params: dict[str, Tensor]) -> Tensor:
        return found.using(params, lambda: found._predict(found.u, 1)).flatten(1)

    v, n = found.v.flatten(1), found.n_train
    naive = torch.func.jacrev(states)(params)
    jacobian = torch.cat([naive[name].flatten(2) for name in params], dim=2)
    expected = torch.zeros(found.d, found.d, dtype=torch.float64)
    for i, z in enumerate(states(params)):
        curvature = torch.func.hessian(lambda z, i=i: (z - v[i]).norm() / v[i].norm() / n)(z)
        expected += jacobian[i].T @ curvature @ jacobian[i]
    rows = found.jacobian(params)
    torch.testing.assert_close(rows.T @ rows, expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split": "train_fine"}, "split is 'train_fine'; the run's dataset has train, val, test, test_fine"),
        ({"n_query": 6}, "n_query is 6; split 'test' of the run has 5"),
        ({"steps": 4}, "steps is 4; split 'test' of the run has 3"),
    ],
)
def test_queries_that_the_run_does_not_have(settings: dict[str, Any], message: str, operator_run: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        task(operator_run, **settings)


def test_a_run_that_fits_its_data_to_rounding_is_refused(operator_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciml.influence.task.operator_run.ROUNDING", 10.0)
    with pytest.raises(RunError, match="which is rounding"):
        task(operator_run)


def test_the_simulations_with_the_largest_and_smallest_scores_are_drawn(operator_run: Path) -> None:
    found = task(operator_run, n_query=1)
    scores = torch.arange(12.0)[None] - 4
    (figure,) = found.figures(scores).values()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:5] == ["query", *(f"no. {i}: {float(scores[0, i]):+.1e}" for i in (11, 10, 9, 8))]
    assert titles[6:] == [f"no. {i}: {float(scores[0, i]):+.1e}" for i in (0, 1, 2, 3)]
    drawn = torch.as_tensor(figure.axes[1].lines[0].get_ydata())
    torch.testing.assert_close(drawn, found.u[11, :, 0])
