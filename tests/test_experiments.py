"""Every experiment composes, passes the check, takes a step, and ends in a row; every paper it names is there."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from sciml.cli.complete import configs
from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.config import FAMILIES
from sciml.run import execute

NAMES = [name.removeprefix("experiment/") for name in configs() if name.startswith("experiment/")]
SMALL = ["trainer.max_steps=1", "track.mode=disabled"]


@pytest.mark.parametrize("name", NAMES)
def test_experiment_runs(name: str, tmp_path: Path) -> None:
    from hydra import compose

    with hydra_session():
        cfg = compose("config", [f"+experiment={name}", f"outputs={tmp_path}", *SMALL], return_hydra_config=True)
    request = request_of(cfg, dict(cfg.hydra.runtime.choices), [])
    assert request.experiment == name
    outcome = execute(request)
    assert outcome.row["metrics"]
    assert outcome.row["family"] in FAMILIES
    if (paper := name.split("/")[0]) != "baseline":
        assert files("sciml.conf").joinpath(f"paper/{paper}.yaml").is_file()
        assert request.tree["paper"]["title"], f"experiment {name} does not choose its paper: override /paper: {paper}"


def test_every_family_has_an_experiment_from_the_first_day() -> None:
    assert len(NAMES) >= len(FAMILIES)
