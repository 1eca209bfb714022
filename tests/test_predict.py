"""What a finished run says of a user's own points and fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import seed_everything

from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.run import execute, load


def module(*overrides: str) -> Any:
    seed_everything(0, verbose=False)
    with initialize_config_module("sciml.conf", version_base="1.3"):
        cfg = compose("config", list(overrides))
    return instantiate(cfg["pinn" if "pinn" in cfg else "operator"], _convert_="all")


def test_a_solution_is_that_of_the_equations_own_coordinates_and_holds_what_is_built_in() -> None:
    none = ("~pinn.weighting.weights.initial", "~pinn.weighting.weights.boundary")
    run = module("+experiment=daw2023r3/convection", "pinn/problem=burgers_hard", *none)
    x = np.linspace(-1, 1, 7)
    start = run.predict(np.stack([np.zeros(7), x], 1))  # t, x
    np.testing.assert_allclose(start[:, 0], -np.sin(np.pi * x), atol=1e-6)
    left, right = run.predict([[0.3, -1.0], [0.3, 1.0]])[:, 0]  # periodic
    assert left == pytest.approx(right, abs=1e-6)
    inside = torch.tensor([[0.5, 0.3]])
    assert run.predict(inside)[0, 0] == run.network(inside)[0, 0].item()
    with pytest.raises(ValueError, match=r"shape \(7,\), expected \(n, 2\): t, x"):
        run.predict(x)
    with pytest.raises(ValueError, match="not finite"):
        run.predict([[0.0, np.nan]])


@pytest.mark.parametrize("values", ["trained", "profiled"])
def test_a_finished_gaussian_process_has_the_error_that_its_row_says(values: str, tmp_path: Path) -> None:
    small = ["pinn.problem.grid.x=101", "pinn.points.x=40", "pinn.kernel.components=8", "optimizer.lr=0.1"]
    short = ["trainer.max_steps=10", "pinn.log_every=5", "pinn.val_every=5", "track.mode=disabled"]
    named = ["+experiment=fang2024gphm/poisson1d_parabola", f"outputs={tmp_path}", f"pinn.values={values}"]
    with hydra_session():
        cfg = compose("config", [*named, *small, *short], return_hydra_config=True)
    outcome = execute(request_of(cfg, dict(cfg.hydra.runtime.choices), []))
    run: Any = load(outcome.folder.path)
    x = run.problem.axes["x"][:, None]
    found, true = run.predict(x), run.problem.reference(x).numpy()
    error = np.linalg.norm(found - true) / np.linalg.norm(true)
    assert found.shape == (101, 1)
    assert error == pytest.approx(outcome.row["metrics"]["rel_l2"], rel=1e-6)
    assert np.abs(found - true).max() == pytest.approx(outcome.row["metrics"]["max_error"], rel=1e-6)
    assert error != pytest.approx(1, rel=1e-3)  # it has learned something
    # Numbers of a list are not rounded on the way.
    np.testing.assert_allclose(run.predict(x.tolist()), found, rtol=1e-9)


def test_states_follow_fields_of_any_number_and_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    run = module("+experiment=baseline/heat", "operator.batch_size=2")
    run.setup("fit")
    sizes = []

    def half(u: torch.Tensor) -> torch.Tensor:
        sizes.append(len(u))
        return u / 2

    u = np.random.default_rng(0).standard_normal((5, 48)).astype(np.float32)
    seen = run.predict(u, steps=2)
    with torch.no_grad():
        first = run.stepper.start()(torch.from_numpy(u[..., None]))
    np.testing.assert_allclose(seen[:, 0], first.numpy(), rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(run.stepper, "start", lambda: half)
    found = run.predict(u.tolist(), steps=3)
    assert sizes == [2, 2, 2, 2, 2, 2, 1, 1, 1]
    np.testing.assert_array_equal(found[..., 0], np.stack([u / 2, u / 4, u / 8], 1))
    with pytest.raises(ValueError, match=r"shape \(48,\), expected \(n, grid 0, 1 channels\)"):
        run.predict(u[0])
