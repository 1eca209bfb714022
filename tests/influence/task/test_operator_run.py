from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.folder import RunFolder
from sciml.influence.task.operator_run import OperatorRun
from sciml.operator.loss.mse import MeanSquare
from sciml.operator.loss.relative import RelativeGradient, RelativeL2
from sciml.operator.loss.sobolev import Sobolev
from sciml.operator.rollout.pushforward import Pushforward
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


PERIODIC = (True,)
LOSSES = {
    "rel_l2": RelativeL2(PERIODIC),
    "mse": MeanSquare(PERIODIC),
    "rel_gradient": RelativeGradient(PERIODIC, weight=0.3),
    "sobolev": Sobolev(PERIODIC, order=-1.0),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_rows_are_those_of_the_loss_of_the_run(
    loss: str, operator_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J^T H J with the Hessian H of the mean loss by differentiation, all examples at once."""
    module = load(operator_run)
    module.loss = LOSSES[loss]  # type: ignore[assignment]
    monkeypatch.setattr("sciml.influence.task.operator_run.attributed", lambda *_, **__: module)
    found = task(operator_run)
    params = found._zero()

    def states(params: dict[str, Tensor]) -> Tensor:
        return found.using(params, lambda: found._predict(found.u, 1)).flatten()

    def mean(p: Tensor) -> Tensor:
        return LOSSES[loss](p.reshape(found.v.shape), found.v)

    naive = torch.func.jacrev(states)(params)
    jacobian = torch.cat([naive[name].flatten(1) for name in params], dim=1)
    p = states(params)
    torch.testing.assert_close(found.losses(params).sum(), mean(p))
    hessian = torch.func.jacrev(torch.func.jacrev(mean))(p)
    rows = found.jacobian(params)
    torch.testing.assert_close(rows.T @ rows, jacobian.T @ hessian @ jacobian)


def test_a_run_of_changes_of_states_with_averaged_weights(changes_run: Path) -> None:
    found, module = task(changes_run), load(changes_run)
    train = module.dataset.splits()["train"]  # type: ignore[union-attr, operator]
    with module.average.applied(), torch.no_grad():  # type: ignore[union-attr, operator]
        expected = module.stepper.loss(train.input, train.target, module.rollout, module.loss, torch.Generator())  # type: ignore[union-attr, operator]
    torch.testing.assert_close(found.losses(found._zero()).sum().float(), expected)


@pytest.mark.parametrize("rollout", [Pushforward()])
def test_training_that_is_no_sum_over_simulations_is_refused(
    rollout: Pushforward, operator_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load(operator_run)
    module.rollout = rollout  # type: ignore[assignment]
    monkeypatch.setattr("sciml.influence.task.operator_run.attributed", lambda *_, **__: module)
    with pytest.raises(ConfigError, match=r"operator\.rollout is Pushforward"):
        task(operator_run)


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


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(OperatorRun, n_query=0, steps=0) == {}
