"""Training, its bookkeeping, and an interrupted run that ends as an uninterrupted one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import Callback
from modules import trainer
from pinn_problems import convection
from refusals import accepted

from sciml.equation.kdv import KdVSolitons
from sciml.errors import ConfigError
from sciml.network.mlp import MLP
from sciml.pinn.base import Collocation
from sciml.pinn.baseline import Baseline
from sciml.pinn.collocation.fixed import Fixed
from sciml.pinn.collocation.r3 import R3
from sciml.pinn.module import Pinn
from sciml.pinn.problem.box import Box
from sciml.pinn.weighting.fixed import Fixed as FixedWeights

N, N_X, N_T = 64, 16, 11


def build(*, collocation: Collocation | None = None, seed: int = 0, beta: float = 1.0, **settings) -> Pinn:
    torch.manual_seed(seed)
    settings = {"n_points": N, "n_val": 128, "log_every": 5, "val_every": 10} | settings
    return Pinn(
        problem=convection(beta=beta, n_x=N_X, n_t=N_T),
        network=partial(MLP, width=16, depth=2),
        collocation=collocation or R3(),
        weighting=FixedWeights(weights={"initial": 100.0, "boundary": 100.0}),
        optimizer=partial(torch.optim.Adam, lr=5e-3),
        scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=20, gamma=0.97),
        **settings,
    )


class Record(Callback):
    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, float]]] = []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.seen.append((trainer.global_step, {k: float(v) for k, v in trainer.callback_metrics.items()}))


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        if trainer.global_step >= self.step:
            trainer.should_stop = True


def test_learns_a_slow_wave_and_reports_it() -> None:
    module, record = build(n_points=256, log_every=50, val_every=100), Record()
    run = trainer(250, record)
    run.fit(module)
    (metrics,) = run.test(module, verbose=False)
    assert metrics.keys() == {"rel_l2", "max_error", "residual"}
    assert metrics["rel_l2"] < 0.2
    assert metrics["rel_l2"] < metrics["max_error"] * 2**0.5 + 1e-6  # ‖e‖ ≤ √n max|e|, and ‖sin‖ = √(n/2)
    assert [step for step, _ in record.seen] == [50, 100, 150, 200, 250]
    assert all(
        {"train/residual", "train/initial", "train/boundary", "train/loss"} <= seen.keys() for _, seen in record.seen
    )
    held_out = [seen.get("val/loss") for _, seen in record.seen]
    assert held_out[0] is None
    assert held_out[-1] < held_out[1] / 5
    assert module.warnings() == []
    points = 256 + N_X + 2 * N_T
    assert module.cost() == {"network_evaluations": 250 * points, "backward_passes": 250}


def test_the_loss_is_the_weighted_sum_of_mean_squares() -> None:
    module = build(collocation=Fixed())
    points = {name: x.clone() for name, x in module.points.items()}
    loss, terms = module.losses()
    residuals = module.problem.residuals(module.jet, points)
    expected = {name: float((r.detach() ** 2).sum() / len(r)) for name, r in residuals.items()}
    assert {name: float(term.detach()) for name, term in terms.items()} == pytest.approx(expected)
    assert float(loss.detach()) == pytest.approx(
        expected["residual"] + 100 * expected["initial"] + 100 * expected["boundary"]
    )


def test_the_collocation_sees_the_residual_of_the_step() -> None:
    seen = {}

    class Spy(Collocation):
        def forward(self, problem, jet, points, residual, generator):
            seen.update(points=points, residual=residual)
            return points + 1

    module = build(collocation=Spy())
    points = module.points["residual"]
    module.losses()
    assert torch.equal(seen["points"], points)
    assert not seen["residual"].requires_grad
    expected = module.problem.residuals(module.jet, {"residual": points})["residual"].abs().squeeze(1)
    torch.testing.assert_close(seen["residual"], expected.detach())
    assert torch.equal(module.points["residual"], points + 1)


def test_held_out_points_are_the_same_in_every_run_and_in_no_training_set() -> None:
    one, other = build(seed=0), build(seed=1)
    assert torch.equal(one.held_out["residual"], other.held_out["residual"])
    assert not torch.equal(one.points["residual"], other.points["residual"])
    for module in (one, other):
        assert not torch.isin(module.held_out["residual"], module.points["residual"]).any()


def test_the_collocation_does_not_change_the_initial_weights() -> None:
    for a, b in zip(build(collocation=R3()).parameters(), build(collocation=Fixed()).parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("stop", [5, 15])
def test_a_resumed_run_is_the_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    whole = build()
    trainer(25).fit(whole)
    first = build()
    run = trainer(25, StopAt(stop))
    run.fit(first)
    assert run.global_step == stop
    run.save_checkpoint(tmp_path / "last.ckpt")
    second = build()
    torch.rand(17)  # the global generator does not matter
    trainer(25).fit(second, ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    assert not torch.equal(first.points["residual"], second.points["residual"])
    assert whole.cost() == second.cost()


class BetweenThePoints(torch.nn.Module):
    """Almost flat at every training point, and steep between them."""

    def __init__(self, points: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("points", points.double())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        distance = (x.double().unsqueeze(1) - self.points).square().sum(-1)
        return distance.min(dim=1, keepdim=True).values + 0.02 * x[:, :1]


@pytest.mark.parametrize("failing", [True, False])
def test_says_when_the_equation_holds_at_the_training_points_only(failing: bool) -> None:
    module = build(collocation=Fixed())
    if failing:
        module.network = BetweenThePoints(module.points["residual"])
    module.on_fit_end()
    if failing:
        (message,) = module.warnings()
        assert message.startswith("PROPAGATION FAILURE LIKELY")
    else:
        assert module.warnings() == []


@pytest.mark.parametrize("steps", [3, 4])
def test_points_that_move_after_the_last_step_were_not_trained_on(steps: int) -> None:
    class Leap(Collocation):
        def forward(self, problem, jet, points, residual, generator):
            return problem.draw(len(points), generator).to(points)

    module = build(collocation=Leap(every=3))
    trained_on = module.points["residual"]
    for step in range(steps):
        if step == 3:
            trained_on = module.points["residual"]
        module.losses()
    module.network = BetweenThePoints(trained_on)
    module.on_fit_end()
    assert len(module.warnings()) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_points": 0}, r"condition 'residual' received no points \(points\)"),
        ({"n_val": 0}, r"condition 'residual' received no points \(held_out\)"),
        ({"log_every": 3, "val_every": 10}, r"val_every \(10\) must be a multiple of log_every \(3\)"),
        ({"network": None}, "network is null; choose one"),
    ],
)
def test_errors_name_the_setting(settings, message: str) -> None:
    everything = {
        "problem": convection(n_x=4, n_t=4),
        "network": partial(MLP, width=2, depth=1),
        "collocation": Fixed(),
        "weighting": FixedWeights(weights={}),
        "optimizer": torch.optim.Adam,
    }
    with pytest.raises(ConfigError, match=message):
        Pinn(**everything | settings)


@pytest.mark.parametrize(("predict", "expected"), [("mean", 1.0), ("reference", 0.0)])
def test_floor_and_ceiling(predict: str, expected: float) -> None:
    # Over the grid the mean of sin(x − βt) is 0, so the floor is the error of predicting 0.
    module: LightningModule = Baseline(problem=convection(n_x=32, n_t=21), predict=predict)
    (metrics,) = trainer(1).test(module, verbose=False)
    assert metrics["rel_l2"] == pytest.approx(expected, abs=1e-12)
    assert metrics["max_error"] == pytest.approx(expected, abs=0.01 if expected else 1e-12)
    assert metrics["residual"] == pytest.approx(0.0, abs=1e-12)  # a constant solves the equation


def test_a_baseline_that_does_not_exist() -> None:
    solitons = Box(equation=KdVSolitons(), conditions={}, grid={"t": 4, "x": 4})
    with pytest.raises(ConfigError, match="KdVSolitons has no classical solver"):
        Baseline(problem=solitons, predict="classical")


def test_a_classical_solver_is_judged_on_the_grid_and_timed() -> None:
    module = Baseline(problem=convection(beta=1.0, n_x=64, n_t=21), predict="classical")
    (metrics,) = trainer(1).test(module, verbose=False)
    assert 1e-6 < metrics["rel_l2"] < 1e-2, "second order"
    assert "residual" not in metrics
    assert module.cost()["solver_seconds"] >= 0
    assert list(module.figures())


def test_figures() -> None:
    module = build()
    (figure,) = module.figures().values()
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["u, network", "u, reference", "|error of u|", "collocation points"]


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Baseline, predict="zero") == {}
    assert accepted(Pinn, log_every=0, val_every=0) == {}
