"""What holds for every task that is made from a finished run: the definition of influence, and clear refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sciml.errors import RunError, UsageError
from sciml.folder import placed
from sciml.influence.attributor.exact_hessian import ExactHessian
from sciml.influence.attributor.ggn import GGN
from sciml.influence.base import Params
from sciml.influence.flat import flatten
from sciml.influence.pinn_measurement.value import Value
from sciml.influence.prior_measurement.posterior_mean import PosteriorMean
from sciml.influence.run_task import RunTask, attributed
from sciml.influence.task.diffusion_run import DiffusionRun
from sciml.influence.task.operator_run import OperatorRun
from sciml.influence.task.pinn_run import PinnRun

Runs = dict[str, Path]


@pytest.fixture(scope="module")
def runs(pinn_run: Path, operator_run: Path, prior_run: Path) -> Runs:
    return {"pinn": pinn_run, "operator": operator_run, "diffusion": prior_run}


def build(family: str, runs: Runs, **changes: Any) -> RunTask:
    settings = {"run": str(runs[family]), "decay": 0.05, "tolerance": 1e-11, **changes}
    if family == "pinn":
        return PinnRun(**{"measurement": Value(at=[[0.5, 3.0], [1.0, 0.1]]), **settings})
    if family == "diffusion":
        return DiffusionRun(**{"measurement": PosteriorMean(fields=[0, [1, 2]]), "draws": 3, **settings, "decay": 0.5})
    return OperatorRun(**{"n_query": 3, **settings})


@pytest.fixture(scope="module")
def tasks(runs: Runs) -> dict[str, tuple[RunTask, Params]]:
    found = {}
    for family in runs:
        task = build(family, runs)
        found[family] = task, {name: p[0] for name, p in task.fit(torch.ones(1, task.n_train)).items()}
    return found


FAMILIES = ("pinn", "operator", "diffusion")


@pytest.mark.parametrize("family", FAMILIES)
def test_fitting_finds_the_optimum_of_the_weighted_objective(family: str, tasks: Any) -> None:
    task, _ = tasks[family]
    weights = torch.rand(3, task.n_train, dtype=torch.float64) * 2
    weights[:, 0] = 0
    params = task.fit(weights)
    for run in range(3):
        theta = {key: p[run] for key, p in params.items()}

        def objective(theta: Params, run: int = run) -> Tensor:
            penalty = sum(p.square().sum() for p in theta.values())
            return (weights[run] * task.losses(theta)).sum() + task.decay / 2 * penalty

        gradient = flatten(torch.func.grad(objective)(theta))
        assert gradient.norm() < 1e-9 * task.gradients(theta).abs().sum()


@pytest.mark.parametrize("family", FAMILIES)
def test_exact_scores_are_the_effect_of_reweighting_in_sign_and_scale(family: str, tasks: Any) -> None:
    task, params = tasks[family]
    step = 1e-3
    shift = step * torch.eye(task.n_train, dtype=torch.float64)
    measured = torch.func.vmap(task.measure)(task.fit(torch.cat([1 + shift, 1 - shift])))
    up, down = measured.split(task.n_train)
    expected = -(up - down).T / (2 * step)
    found = ExactHessian()(task, params)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    # Without the curvature of the residuals it points the same way, and is not the same.
    near = GGN(damping=0.0)(task, params)
    slope = float((near * expected).sum() / near.square().sum())
    cosine = float((near * expected).sum() / (near.norm() * expected.norm()))
    assert 0.3 < slope < 3
    assert 0.6 < cosine < 0.99999


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_and_jacobian_have_the_order_of_the_flat_parameters(family: str, tasks: Any) -> None:
    task, params = tasks[family]
    naive = torch.func.jacrev(task.losses)(params)
    expected = torch.cat([naive[name].flatten(1) for name in params], dim=1)
    torch.testing.assert_close(task.gradients(params), expected)
    assert task.jacobian(params).shape == (len(task.owner), task.d)
    assert torch.equal(task.owner.unique(), torch.arange(task.n_train))


@pytest.mark.parametrize("family", FAMILIES)
def test_polishing_moves_the_run_to_an_optimum_near_by(family: str, tasks: Any) -> None:
    task, params = tasks[family]
    start, end = task.polished["objective_of_the_run"], task.polished["objective_polished"]
    assert end < start
    assert start == pytest.approx(float(task.losses(task._zero()).sum()))
    assert task.polished["relative_gradient"] <= task.tolerance
    again = {name: p[0] for name, p in task.fit(torch.ones(1, task.n_train)).items()}
    assert all(torch.equal(p, again[name]) for name, p in params.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_of_the_attribution_is_its_own(family: str, runs: Runs) -> None:
    torch.manual_seed(17)
    state = torch.get_rng_state()
    build(family, runs)
    assert torch.initial_seed() == 17
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_that_is_too_large_is_refused_with_its_sizes(
    family: str, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("MOST_NUMBERS", "MOST_SUMMED"):
        monkeypatch.setattr(f"sciml.influence.run_task.{limit}", 100)
    task = build(family, runs)
    with pytest.raises(RunError, match=rf"{len(task.owner)} rows and {task.d} parameters"):
        task.fit(torch.ones(1, task.n_train))
    with pytest.raises(RunError, match=rf"{len(task.owner)} rows and {task.d} parameters"):
        task.jacobian(task._zero())


# ---------------------------------------------------------------- which run is meant


def copied(source: Path, outputs: Path, name: str) -> Path:
    target = outputs / "attribution/convection" / name
    shutil.copytree(source, target)
    return target


def refused(match: str, run: str, **settings: Any) -> None:
    with pytest.raises(UsageError, match=match):
        attributed(run, **{"family": "pinn", **settings})


def test_a_part_of_the_path_and_the_own_seed_say_which_run(
    pinn_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("abc-seed0", "abc-seed3", "abc-seed33"):
        copied(pinn_run, tmp_path, name)
    (tmp_path / "attribution/convection/abc-seed0/last.ckpt").unlink()
    (tmp_path / "attribution/convection/abc-seed33/last.ckpt").unlink()
    caplog.clear()
    with placed(tmp_path):
        torch.manual_seed(3)
        assert attributed("attribution/convection", family="pinn").network is not None
        torch.manual_seed(4)
        refused("fits 3 runs", "attribution/convection")
        torch.manual_seed(0)
        refused(r"has its row but not its weights \(last.ckpt\)", "attribution/convection")
        assert caplog.messages == []


def test_a_run_of_another_seed_is_taken_where_there_is_no_other_and_said(
    pinn_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    only = copied(pinn_run, tmp_path, "abc-seed3")
    torch.manual_seed(4)
    with placed(tmp_path):
        assert attributed("attribution/convection", family="pinn").network is not None
        said = f"there is no run of attribution/convection with seed 4: {only} is built on instead"
        assert caplog.messages == [said]
        attributed(str(only), family="pinn")  # whoever names the folder means its seed
        assert caplog.messages == [said]


def damaged(source: Path, outputs: Path, change: Callable[[dict[str, Any]], None]) -> str:
    target = copied(source, outputs, "x-seed0")
    row = json.loads((target / "row.json").read_text())
    change(row)
    (target / "row.json").write_text(json.dumps(row))
    return str(target)


def test_runs_that_cannot_be_attributed(pinn_run: Path, operator_run: Path, tmp_path: Path) -> None:
    with placed(tmp_path):
        refused("there is no run nothing", "nothing")
        refused("no run of attribution/heat in .* yet: sciml train .experiment=attribution/heat", "attribution/heat")
    refused("is of the family operator: choose influence/task=operator_run", str(operator_run))
    unfinished = copied(pinn_run, tmp_path / "a", "x-seed0")
    (unfinished / "row.json").unlink()
    refused("has not finished", str(unfinished))

    def without_training(row: dict[str, Any]) -> None:
        row["cost"]["steps"] = 0

    nothing = damaged(pinn_run, tmp_path / "b", without_training)
    (Path(nothing) / "last.ckpt").unlink()
    refused("trained nothing", nothing)


# ---------------------------------------------------------------- complex weights


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, dtype=torch.complex64))
        self.bias = nn.Parameter(torch.randn(2))

    def forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(x * self.weight).sum(1) + self.bias


class Complex(RunTask):
    def __init__(self) -> None:
        super().__init__(network=Spectral(), decay=0.1, tolerance=1e-12, max_steps=100)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("x", torch.randn(6, 3, generator=generator, dtype=torch.complex128))
        self.register_buffer("y", torch.randn(6, 2, generator=generator, dtype=torch.float64))
        self.register_buffer("owner", torch.arange(6).repeat_interleave(2))
        self.n_train, self.n_query = 6, 1

    def losses(self, params: Params) -> Tensor:
        return (self.using(params, self.network, self.x) - self.y).square().sum(1) / 2

    def measure(self, params: Params) -> Tensor:
        return self.using(params, self.network, self.x)[0, :1]

    def rows(self, params: Params) -> Tensor:
        found = torch.func.jacrev(lambda p: self.using(p, self.network, self.x).reshape(-1))(params)
        return torch.cat([j.flatten(1) for j in found.values()], dim=1)


def test_complex_weights_are_pairs_of_real_ones() -> None:
    torch.manual_seed(0)
    task = Complex()
    assert task.d == 8
    assert all(p.dtype == torch.float64 for p in task.of_the_run().values())
    # Linear least squares in eight real numbers: the optimum in closed form, from any start.
    weights = torch.rand(1, 6, dtype=torch.float64)
    found = flatten({name: p[0] for name, p in task.fit(weights).items()})
    a = task.rows(task._zero())
    b = (task.y - task.using(task._zero(), task.network, task.x)).reshape(-1)
    w = weights[0, task.owner]
    expected = torch.linalg.solve(a.T @ (w[:, None] * a) + 0.1 * torch.eye(8), a.T @ (w * b))
    torch.testing.assert_close(found, expected.double())
