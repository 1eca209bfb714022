"""Every experiment composes, runs, ends in a row, and goes on bit for bit where it was interrupted."""

from __future__ import annotations

import json
import signal
from copy import deepcopy
from dataclasses import replace
from functools import cache
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import often

from sciml.checkpoint import Checkpoint
from sciml.cli.complete import configs
from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.config import FAMILIES
from sciml.errors import Stopped
from sciml.pinn.module import Pinn
from sciml.run import Request, execute
from sciml.signals import StopSignal


def named(group: str) -> list[str]:
    return [name.removeprefix(f"{group}/") for name in configs() if name.startswith(f"{group}/")]


def request(name: str, outputs: Path, *overrides: str) -> Request:
    from hydra import compose

    with hydra_session():
        small = [f"+experiment={name}", f"outputs={outputs}", "track.mode=disabled", *overrides]
        cfg = compose("config", small, return_hydra_config=True)
    return request_of(cfg, dict(cfg.hydra.runtime.choices), [])


# One step where something is trained step by step; where a run does more than that, less of it.
SMALL = {
    "trainer.max_steps": "1",
    "pinn.n_points": "100",
    "pinn.n_val": "200",
    "pinn.collocation.pool": "200",
    "pinn.problem.grid.t": "11",
    "pinn.problem.grid.x": "16",
    "pinn.problem.grid.y": "12",
    "network.multipliers": "[1,2]",
    "operator.dataset.source.n": "6",
    "operator.dataset.source.simulation.frames": "6",
    "operator.dataset.source.simulation.warmup": "0",
    "operator.dataset.n_train": "4",
    "operator.dataset.n_val": "1",
    "operator.dataset.n_test": "1",
    "operator.dataset.test_steps": "1",
    "operator.batch_size": "4",
    "diffusion.dataset.n_train": "12",
    "diffusion.dataset.n_val": "4",
    "diffusion.dataset.n_test": "4",
    "diffusion.preconditioner.rank": "4",
    "diffusion.dataset.train": "12",
    "diffusion.dataset.val": "4",
    "diffusion.dataset.test": "4",
    "diffusion.problems": "2",
    "diffusion.samples": "2",
    "diffusion.sets": "2",
    "diffusion.points": "4",
    "influence.task.n_train": "40",
    "influence.task.n_query": "5",
    "influence.task.recipe.epochs": "1",
    "influence.evaluation.masks": "4",
    "influence.evaluation.repeats": "2",
    "influence.evaluation.resamples": "2",
    "influence.evaluation.counts": "[1,2]",
    "influence.evaluation.queries": "2",
    "influence.evaluation.draws": "2",
    "influence.evaluation.examples": "2",
    "influence.evaluation.damping": "10",
    "influence.evaluation.groups": "3",
    "influence.task.tolerance": "1.0",
    "influence.task.draws": "1",
    "influence.task.measurement.draws": "2",
}
# A run that another one attributes.
ATTRIBUTED = {
    "network.width": "3",
    "pinn.n_points": "20",
    "pinn.problem.grid.x": "6",
    "pinn.problem.grid.t": "5",
    "operator.dataset.n_train": "8",
    "operator.dataset.n_test": "5",
    "operator.batch_size": "4",
    "diffusion.dataset.n_test": "1780",  # of the images, so that few are left to train on
    "diffusion.batch_size": "13",
    "diffusion.tested_at": "[1.0]",
}
# A denoiser that is a prior, and what reconstructs with it.
DENOISER = {"network.width": "8", "diffusion.batch_size": "4"}
RECONSTRUCTION = {
    "diffusion.problems": "2",
    "diffusion.samples": "2",
    "diffusion.prior.rank": "2",
    "diffusion.prior.fields": "4",
    "diffusion.solver.pairs": "4",
    "diffusion.solver.levels.steps": "3",
    "diffusion.solver.sampler.levels.steps": "3",
}


# What the user of an experiment must give.
GIVEN = {
    "baseline/observed": ("diffusion.path=mine.npz", "diffusion.shape=[4,4,1]", "diffusion.measurement.noise_std=0.1")
}


@cache
def tree(name: str) -> dict[str, Any]:
    """The config of an experiment, to be read only."""
    return request(name, Path("unused"), *GIVEN.get(name, ())).tree


def small(name: str, sizes: dict[str, str] = SMALL) -> list[str]:
    less = [f"{key}={value}" for key, value in sizes.items() if has(tree(name), key.split("."))]
    return [*GIVEN.get(name, ()), *less, *small_fields(name)]


def small_fields(name: str) -> list[str]:
    """Priors in closed form are of any size: at most 16 points an axis, 20 of them seen."""
    diffusion = tree(name).get("diffusion", {})
    if "run" in diffusion.get("prior", {"run": None}) or "sensors" not in diffusion.get("measurement", {}):
        return []
    *grid, channels = diffusion["shape"]
    sensors = min(20, diffusion["measurement"]["sensors"])
    return [f"diffusion.shape={[*(min(16, n) for n in grid), channels]}", f"diffusion.measurement.sensors={sensors}"]


def has(node: Any, path: list[str]) -> bool:
    return not path or (isinstance(node, dict) and path[0] in node and has(node[path[0]], path[1:]))


@pytest.mark.parametrize("name", named("experiment"))
def test_experiment_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", y=np.arange(3.0), positions=np.eye(3, 2))
    asked = request(name, tmp_path, *small(name))
    assert asked.experiment == name
    if needed := asked.tree.get("influence", {}).get("task", {}).get("run"):
        execute(request(needed, tmp_path, *small(needed), *small(needed, ATTRIBUTED)))
    if needed := asked.tree.get("diffusion", {}).get("prior", {}).get("run"):
        execute(request(needed, tmp_path, *small(needed), *small(needed, DENOISER)))
        asked = request(name, tmp_path, *small(name), *small(name, RECONSTRUCTION))
    elif has(asked.tree, ["diffusion", "dataset"]):
        asked = request(name, tmp_path, *small(name), *small(name, DENOISER))
    outcome = execute(asked)
    assert outcome.row["metrics"]
    assert outcome.row["family"] in FAMILIES
    if (paper := name.split("/")[0]) != "baseline":
        assert files("sciml.conf").joinpath(f"paper/{paper}.yaml").is_file()
        assert asked.tree["paper"]["title"], f"experiment {name} does not choose its paper: override /paper: {paper}"


def test_every_family_has_an_experiment() -> None:
    assert {family(name) for name in named("experiment")} == set(FAMILIES)


def family(name: str) -> str:
    from sciml.config import family_of

    return family_of(tree(name))


SMALL_GRID = [
    "network.width=16",
    "network.depth=2",
    "pinn.problem.grid.x=32",
    "pinn.problem.grid.t=17",
    "pinn.n_val=50",
    "pinn.n_points=100",
]
# Collocations and weightings do not see each other: two of them in one run.
PAIRS = list(zip_longest(named("pinn/collocation"), named("pinn/weighting"), fillvalue="fixed"))
TRAINED = [("daw2023r3/convection", (f"optimizer={name}",)) for name in named("optimizer")]
TRAINED += [("daw2023r3/convection", (f"pinn/collocation={a}", f"pinn/weighting={b}")) for a, b in PAIRS]
TRAINED += [
    ("baseline/heat", ("optimizer=adam",)),
    ("baseline/denoiser", ("diffusion.dataset.n_train=64", "network.width=8")),
]


@pytest.mark.parametrize(("name", "choices"), TRAINED, ids=lambda v: v if isinstance(v, str) else ",".join(v))
def test_interrupted_run_goes_on_bit_for_bit(
    name: str, choices: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = family(name)
    short = [f"{key}.log_every=4", f"{key}.val_every=4", "trainer.max_steps=12"]
    short += SMALL_GRID if key == "pinn" else []
    short += [override for choice in choices for override in often(choice)]

    composed = request(name, tmp_path, *choices, *short)

    def asked(outputs: Path) -> Request:
        return replace(composed, tree={**deepcopy(composed.tree), "outputs": str(outputs)})

    monkeypatch.setattr(Pinn, "figures", lambda self: {})
    whole = execute(asked(tmp_path / "whole"))
    steps: list[int] = []

    def interrupt(self: Checkpoint, *args: Any) -> None:
        if len(steps) < 2:  # at the end of the first chunk of each of the first two attempts
            steps.append(args[0].global_step)
            self.stop.note(signal.SIGTERM)
        kept(self, *args)

    kept = Checkpoint.on_train_batch_end
    monkeypatch.setattr(Checkpoint, "on_train_batch_end", interrupt)
    for _ in range(2):
        with pytest.raises(Stopped):
            execute(asked(tmp_path / "parts"), stop=StopSignal())
    parts = execute(asked(tmp_path / "parts"))
    assert steps == [4, 8]
    assert parts.row["metrics"] == whole.row["metrics"]
    assert parts.row["cost"] == whole.row["cost"]
    left, right = (torch.load(o.folder.last, weights_only=True) for o in (whole, parts))
    assert all(torch.equal(value, right["state_dict"][key]) for key, value in left["state_dict"].items())
    assert numbers(whole.folder.metrics) == numbers(parts.folder.metrics)


def numbers(path: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]
