from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.folder import RunFolder
from sciml.influence.pinn_measurement.base import PinnMeasurement
from sciml.influence.pinn_measurement.error import Error
from sciml.influence.pinn_measurement.loss import Loss
from sciml.influence.pinn_measurement.residual import Residual
from sciml.influence.pinn_measurement.value import Value
from sciml.influence.task.pinn_run import PinnRun
from sciml.run import evaluate, load


def task(run: Path, measurement: PinnMeasurement | None = None, **settings: Any) -> PinnRun:
    return PinnRun(run=str(run), measurement=measurement or Value(at=[[0.5, 1.0]]), **settings)


def test_the_losses_add_up_to_the_loss_of_the_run(pinn_run: Path) -> None:
    found = task(pinn_run)
    losses = found.losses(found._zero())
    expected, terms = load(pinn_run).losses()  # type: ignore[operator]
    torch.testing.assert_close(losses.sum(), expected.detach())
    assert found.conditions == {"residual": slice(0, 14), "initial": slice(14, 18), "boundary": slice(18, 21)}
    for name, weight in (("residual", 1.0), ("initial", 3.0), ("boundary", 2.0)):
        torch.testing.assert_close(losses[found.conditions[name]].sum(), weight * terms[name].detach())


def test_the_rows_make_the_gauss_newton_matrix(pinn_run: Path) -> None:
    """The Hessian of each loss, if its residual were linear: 2 w grad r grad r^T."""
    found = task(pinn_run)
    params = found._zero()

    def roots(params: dict[str, torch.Tensor]) -> torch.Tensor:
        return found.losses(params).sqrt()  # |r| sqrt(w), one for each point: all residuals here are single numbers

    naive = torch.func.jacrev(roots)(params)
    jacobian = torch.cat([naive[name].flatten(1) for name in params], dim=1)
    rows = found.jacobian(params)
    torch.testing.assert_close(rows.T @ rows, 2 * jacobian.T @ jacobian)


def test_measurements_read_what_the_run_itself_reports(pinn_run: Path) -> None:
    module, reported = load(pinn_run), evaluate(RunFolder(pinn_run))
    error = task(pinn_run, Error(stride=1))
    assert float(error.measure(error._zero())) == pytest.approx(reported["rel_l2"], rel=1e-6)
    assert error.measurement.diagnostic
    loss = task(pinn_run, Loss(condition="residual"))
    residual = module.problem.residuals(module.jet, module.held_out)["residual"]  # type: ignore[union-attr, operator]
    torch.testing.assert_close(loss.measure(loss._zero()), residual.square().mean()[None].detach())
    at = [[0.25, 1.0], [1.0, 6.0]]
    value, squared = task(pinn_run, Value(at=at)), task(pinn_run, Residual(at=at))
    assert (value.n_query, squared.n_query) == (2, 2)
    assert value.measurement.labels == ("u(0.25, 1)", "u(1, 6)")
    x = torch.tensor(at, dtype=torch.float64)
    torch.testing.assert_close(value.measure(value._zero()), module.network(x)[:, 0].detach())  # type: ignore[operator]
    r = module.problem.residuals(module.jet, {"residual": x})["residual"]  # type: ignore[union-attr, operator]
    torch.testing.assert_close(squared.measure(squared._zero()), r[:, 0].square().detach())


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        (Value(at=[[0.5]]), r"points of 2 coordinates each \(t, x\)"),
        (Value(at=[]), "must be points of 2"),
        (Value(at=[[0.5, 1.0]], output=1), r"unknowns 0 to 0 \(u\)"),
        (Residual(at=[[0.5, 1.0, 2.0]]), "points of 2 coordinates"),
        (Loss(condition="wall"), "conditions are residual, initial, boundary"),
    ],
)
def test_measurements_that_do_not_fit(measurement: PinnMeasurement, message: str, pinn_run: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        task(pinn_run, measurement)


def test_moving_points_are_said(pinn_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sciml.pinn.collocation.fixed import Fixed

    assert task(pinn_run).warnings() == []
    monkeypatch.setattr(Fixed, "moves", True)
    (note,) = task(pinn_run).warnings()
    assert "the last ones are attributed" in note


def test_every_point_is_drawn_with_its_own_score(pinn_run: Path) -> None:
    found = task(pinn_run)
    scores = torch.linspace(-1, 1, 21)[None]
    (figure,) = found.figures(scores).values()
    interior, others, sums = figure.axes[:3]
    offsets, colours = interior.collections[0].get_offsets(), interior.collections[0].get_array()
    for point, colour in zip(offsets, colours, strict=True):
        i = int((found.points["residual"] - torch.tensor(point)).norm(dim=1).argmin())
        assert colour == pytest.approx(float(scores[0, i]))
    assert sum(len(c.get_offsets()) for c in others.collections) == 4 + 2 * 3  # both ends of a boundary pair
    assert [label.get_text() for label in sums.get_yticklabels()] == ["residual", "initial", "boundary"]


def test_a_file_of_scores_says_what_the_examples_are(pinn_run: Path) -> None:
    found = task(pinn_run)
    examples = found.examples()
    assert found.labels() == ["u(0.5, 1)"]
    assert {name: list(examples["condition"]).count(name) for name in found.conditions} == {
        "residual": 14,
        "initial": 4,
        "boundary": 3,
    }
    for name, where in found.conditions.items():
        assert (examples["condition"][where] == name).all()
        assert torch.equal(examples[f"points_{name}"], found.points[name])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Error, stride=0) == {}
    assert accepted(Value, output=-1) == {}
