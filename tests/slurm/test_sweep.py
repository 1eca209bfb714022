"""Sweeps, submitit and a plain batch script on a real cluster: what is interrupted goes on, and ends bit for bit.

All jobs are submitted before the first one starts, and are looked at when all are over: a start costs seconds, and
so they share them. The seeds say what happens to a run.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from helpers import USER
from typer.testing import CliRunner

from sciml import scheduler
from sciml.folder import RunFolder

from .conftest import PATIENCE, Cluster, eventually

NOTICED, CANCELLED, KILLED, HUNGRY, LEFT_ALONE = range(5)  # in one array
SUBMITIT = 5
PACK = BEFORE, INTERRUPTED, AFTER = 6, 7, 8  # in one task
BATCH = 9  # sciml train in a batch script of the user's
HYDRA = 10  # sciml train -m with Hydra's own launcher for submitit
ALL = range(11)
COMMAND = [sys.executable, "-m", "sciml.cli"]
HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
EXAMPLE = "sciml train +experiment=daw2023r3/convection seed=1"  # in the script that the page shows


def sciml(*words: str) -> str:
    """In this process, which has imported everything."""
    from sciml.cli.main import app

    result = CliRunner().invoke(app, list(words))
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.stdout


@dataclass
class Drama:
    """What happened.

    Args:
        outputs: Where the runs are.
        conf: The configs as they were when the sweeps were submitted.
        sweeps: Names by launcher.
        standing: What ``sciml status`` said of the array when all jobs were over, by seed.
        jobs: The id of each run's first job, by seed.
        states: How these ended.
        rows: When the rows that there were then were written, by seed.
        resumed: The seeds of the runs that ``--resume`` submitted.
        multirun: How the process ended that waited for Hydra's launcher, and what it printed.
    """

    outputs: Path
    conf: Path
    sweeps: dict[str, str]
    standing: dict[int, dict[str, Any]]
    jobs: dict[int, str]
    states: dict[str, scheduler.JobState]
    rows: dict[int, int]
    resumed: list[int]
    multirun: tuple[int, str] = (-1, "")

    def folder(self, seed: int) -> RunFolder:
        (path,) = self.outputs.glob(f"mine/gated/*-seed{seed}")
        return RunFolder(path)


def grid(conf: Path, outputs: Path, seeds: str) -> list[str]:
    return ["--config-dir", str(conf), "--trust", "toy_package", "--trust", "gated", "+experiment=mine/gated",
            f"seed={seeds}", f"outputs={outputs}", f"pinn.gates={outputs.parent / 'gates'}"]  # fmt: skip


def submitted(outputs: Path, known: set[str]) -> tuple[str, dict[int, str]]:
    """The sweep that is new, and the job of each seed."""
    (name,) = {path.parent.name for path in outputs.glob(".sweeps/*/sweep.json")} - known
    known.add(name)
    filed = json.loads((outputs / ".sweeps" / name / "sweep.json").read_text())
    seeds = [run["seed"] for run in filed["runs"]]
    return name, {seeds[i]: task["id"] for task in filed["submissions"][-1]["tasks"] for i in task["runs"]}


@pytest.fixture(scope="module")
def drama(plain: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Drama]:
    folder = tmp_path_factory.mktemp("drama")
    outputs, gates, conf, edited = (folder / name for name in ("outputs", "gates", "conf", "edited"))
    gates.mkdir()
    shutil.copytree(USER / "conf", conf)
    (conf / "experiment/mine/gated.yaml").write_text(
        "# @package _global_\ndefaults:\n  - /pinn: gated\n  - override /network: toynet\n"
        "  - override /optimizer: toyadam\ntrainer: {max_steps: 40}\ntrack: {mode: disabled}\n"
        "checkpoint: {every_seconds: 0}\n"
    )
    (conf / "pinn/gated.yaml").write_text(
        "_target_: gated.Gated\nnetwork: ${network}\noptimizer: ${optimizer}\ngates: ???\n"
    )
    shutil.copytree(conf, edited)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SLURM_CONF", str(plain.conf))
        patch.setenv("SCIML_TRUST", "")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(USER), str(HERE / "user")]))
        patch.setattr(sys, "path", [*sys.path, str(USER), str(HERE / "user")])
        # This one waits for its job: that is how Hydra's launcher does it.
        settings = {"max_num_timeout": 20, "timeout_min": 20, "mem_gb": 2, "signal_delay_s": 30, "partition": "main"}
        hydra = [f"hydra.launcher.{key}={value}" for key, value in settings.items()]
        plain.call("scontrol", "update", "PartitionName=main", "State=DOWN")
        command = [*COMMAND, "train", "-m", *grid(conf, outputs, "10"), "hydra/launcher=submitit_slurm", *hydra]
        output = folder / "multirun"
        with open(output, "w") as log, subprocess.Popen(command, stdout=log, stderr=log) as multirun:
            try:
                found = play(plain, folder, outputs, gates, conf, edited)
                multirun.wait(timeout=PATIENCE)
            finally:
                multirun.kill()
        found.multirun = multirun.returncode, output.read_text()
        yield found


def play(cluster: Cluster, folder: Path, outputs: Path, gates: Path, conf: Path, edited: Path) -> Drama:
    held = (NOTICED, CANCELLED, KILLED, SUBMITIT, INTERRUPTED, BATCH, HYDRA)
    for seed in held:
        (gates / str(seed)).touch()
    (gates / f"{HUNGRY}.eat").touch()
    # The process that submits the array is gone when it starts.
    slurm = ["--launcher", "slurm", "launcher.memory=1500M", "launcher.time=20"]
    subprocess.run([*COMMAND, "sweep", *grid(edited, outputs, "0,1,2,3,4"), *slurm], check=True, capture_output=True)
    seen: set[str] = set()
    sweeps: dict[str, str] = {}
    sweeps["slurm"], jobs = submitted(outputs, seen)
    sciml(
        "sweep", *grid(edited, outputs, "5"), "--launcher", "submitit", "launcher.memory=1500M", "launcher.minutes=20"
    )
    sweeps["submitit"], more = submitted(outputs, seen)
    jobs |= more
    sciml("sweep", *grid(edited, outputs, "6,7,8"), *slurm, "launcher.runs_per_task=3")
    sweeps["pack"], more = submitted(outputs, seen)
    jobs |= more
    train = shlex.join([*COMMAND, "train", *grid(conf, outputs, "9"), "track.mode=offline"])
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", README.read_text(), flags=re.DOTALL)
    assert script.count(EXAMPLE) == 1
    mine = script.replace("#SBATCH", f"#SBATCH --output={folder}/batch.log", 1).replace(EXAMPLE, train)
    (folder / "batch").write_text(mine)
    jobs[BATCH] = scheduler.submit(folder / "batch")
    for file in ("experiment/mine/gated.yaml", "optimizer/toyadam.yaml", "pinn/gated.yaml"):
        (edited / file).write_text("this: is no longer what it was\n")

    jobs[HYDRA] = eventually(
        lambda: cluster.call("squeue", "--noheader", "--array", "--name=sciml", "--format=%i"),
        (folder / "multirun").read_text,
    )
    cluster.call("scontrol", "update", "PartitionName=main", "State=UP")
    eventually(
        lambda: all((gates / f"{seed}.held").exists() for seed in held),
        lambda: f"{sorted(os.listdir(gates))} {scheduler.states(jobs.values())} {logs(outputs, folder)}",
    )
    for seed in (NOTICED, SUBMITIT, INTERRUPTED, BATCH, HYDRA):
        cluster.call("scancel", "--signal=USR2", jobs[seed])
    scheduler.cancel([jobs[CANCELLED]])
    (killed,) = outputs.glob(f"mine/gated/*-seed{KILLED}")
    (gates / str(KILLED)).unlink()
    os.kill(RunFolder(killed).read_status()["pid"], signal.SIGKILL)
    states = cluster.wait(*jobs.values())

    found = Drama(outputs, conf, sweeps, {}, jobs, states, {}, [])
    said = json.loads(sciml("status", sweeps["slurm"], "--format", "json", "--outputs", str(outputs)))
    found.standing = {run["seed"]: run for run in said["runs"]}
    found.rows = {s: f.row.stat().st_mtime_ns for s in ALL if (f := found.folder(s)).row.exists()}
    sciml("sweep", "--resume", sweeps["slurm"], "--outputs", str(outputs))
    filed = json.loads((outputs / ".sweeps" / sweeps["slurm"] / "sweep.json").read_text())
    tasks = filed["submissions"][1]["tasks"]
    found.resumed = [filed["runs"][i]["seed"] for task in tasks for i in task["runs"]]
    cluster.wait(*(task["id"] for task in tasks))
    return found


def logs(outputs: Path, folder: Path) -> str:
    return "\n".join(p.read_text()[-2000:] for p in [*outputs.glob(".sweeps/**/*.log"), *folder.glob("*.log")])


@pytest.mark.slow
def test_status_tells_what_became_of_each_run(drama: Drama) -> None:
    told = {seed: (run["state"], run["error"] or "") for seed, run in drama.standing.items()}
    assert told[NOTICED] == ("done", "")
    assert told[LEFT_ALONE] == ("done", "")
    assert told[CANCELLED][0] == "cancelled"
    assert told[KILLED][0] == "lost"
    assert "SIGKILL" in told[KILLED][1]
    assert told[HUNGRY][0] == "lost"
    assert "out of memory" in told[HUNGRY][1]
    assert {seed: run["requeued"] for seed, run in drama.standing.items()}[CANCELLED] == 0


@pytest.mark.slow
def test_resume_does_again_what_was_not_done_and_nothing_else(drama: Drama) -> None:
    assert sorted(drama.resumed) == [CANCELLED, KILLED, HUNGRY]
    assert sorted(drama.rows) == [seed for seed in ALL if seed not in (CANCELLED, KILLED, HUNGRY)]
    assert {seed: drama.folder(seed).row.stat().st_mtime_ns for seed in drama.rows} == drama.rows
    for name in drama.sweeps.values():
        said = json.loads(sciml("status", name, "--format", "json", "--outputs", str(drama.outputs)))
        assert list(said["counts"]) == ["done"]


@pytest.mark.slow
def test_what_was_told_to_save_was_requeued_once(drama: Drama) -> None:
    restarts = {seed: drama.states[drama.jobs[seed]].restarts for seed in ALL}
    again = {NOTICED, SUBMITIT, *PACK, BATCH, HYDRA}
    assert restarts == {seed: int(seed in again) for seed in ALL}
    code, said = drama.multirun
    assert code == 0, said
    assert [" done " in line for line in said.splitlines() if "seed=10 " in line] == [True]
    # A run of a pack that was done before the interruption is left alone.
    steps = [json.loads(line)["step"] for line in drama.folder(BEFORE).metrics.read_text().splitlines()]
    assert steps == sorted(steps)


@pytest.mark.slow
def test_every_row_is_the_one_of_an_undisturbed_run(drama: Drama, tmp_path: Path) -> None:
    other = drama.outputs.parent / "undisturbed"
    for seed in ALL:
        words = [word for word in grid(drama.conf, drama.outputs, str(seed)) if not word.startswith("outputs=")]
        sciml("train", *words, f"outputs={other}")
        mine = drama.folder(seed)
        (path,) = other.glob(f"mine/gated/*-seed{seed}")
        theirs = RunFolder(path)
        assert path.name == mine.path.name, "what was edited after the submission changed a run that was queued"
        row, expected = mine.read_row(), theirs.read_row()
        assert row is not None
        assert expected is not None
        for key in ("metrics", "best_step", "cost", "hash", "choices"):
            assert row[key] == expected[key], f"{key} of seed {seed}"
        assert logged(mine) == logged(theirs), f"seed {seed}"


def logged(folder: RunFolder) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in folder.metrics.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "time"} for line in lines]


@pytest.mark.slow
def test_both_halves_are_one_run_for_wandb(drama: Drama) -> None:
    folder = drama.folder(BATCH)
    halves = list((folder.path / "wandb").glob("offline-run-*"))
    assert len(halves) == 2
    assert {path.name.rpartition("-")[2] for path in halves} == {folder.read_status()["wandb_id"]}
