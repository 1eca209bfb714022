"""Two tasks of ``srun`` train one run, are interrupted, go on by themselves, and give the numbers of one process."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from sciml.cli.origin import hydra_session
from sciml.cli.request import request_of
from sciml.run import execute

from .conftest import Cluster, eventually

RUN = [
    "+experiment=daw2023r3/convection", "pinn.problem.grid.x=32", "pinn.problem.grid.t=17", "pinn.n_val=64",
    "pinn.n_points=101", "pinn.log_every=5", "pinn.val_every=100", "network.width=16", "network.depth=2",
    "trainer.max_steps=400", "trainer.accelerator=cpu", "trainer.precision=64-true", "track.mode=disabled",
]  # fmt: skip


@pytest.mark.slow
def test_two_tasks_of_srun_make_one_run(cluster: Cluster, tmp_path: Path) -> None:
    ranks = ["trainer.devices=2", "+trainer.strategy=ddp"]
    command = shlex.join([sys.executable, "-m", "sciml.cli", "train", *RUN, f"outputs={tmp_path}/two", *ranks])
    job = cluster.sbatch(tmp_path / "job", [f"srun --ntasks=2 {command}"], ntasks="2", requeue="")

    def training() -> bool:
        return any('"step": 30,' in path.read_text() for path in tmp_path.glob("two/**/metrics.jsonl"))

    log = tmp_path / "job.log"
    eventually(training, lambda: log.read_text() if log.exists() else "no output")
    cluster.call("scancel", "--signal=USR2", job)
    ended = cluster.wait(job)
    text = log.read_text()
    assert ended[job].state == "COMPLETED", text
    assert text.count("is requeued and will go on by itself") == 1, text
    assert text.count("stopped by signal") == 1, "one process speaks"
    (path,) = tmp_path.glob("two/**/row.json")
    row = json.loads(path.read_text())
    assert row["ranks"] == 2

    from hydra import compose

    with hydra_session():
        cfg = compose("config", [*RUN, f"outputs={tmp_path}/one"], return_hydra_config=True)
    one = execute(request_of(cfg, dict(cfg.hydra.runtime.choices), [])).row
    assert row["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    assert row["cost"] == one["cost"]
