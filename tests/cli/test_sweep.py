"""``sciml sweep``, ``status`` and ``cancel``, with stand-ins for SLURM's commands; jobs are run in this process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_slurm import FakeSlurm
from helpers import USER, child, wait, wait_for_step

from sciml.cli import job, status
from sciml.datafile import record_of
from sciml.folder import RunFolder
from sciml.launcher import local
from sciml.scheduler import JobState
from sciml.sweep import Sweep, names, read

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
TOY = ("--trust", "toy_package", "+experiment=mine/toy", "trainer.max_steps=10", "track.mode=disabled")
CONF = ("--config-dir", f"{USER}/conf")
PENDING, RUNNING, CANCELLED = "PENDING", "RUNNING", "CANCELLED"


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "bin", monkeypatch)
    fake.command("scontrol", "MaxArraySize            = 1001\n")
    fake.command("sbatch", "71\n")
    fake.command("scancel")
    fake.queue()
    return fake


@pytest.fixture
def sweep(sciml: Callable[..., Any], outputs: Path) -> Callable[..., Any]:
    return lambda *args: sciml("sweep", "--outputs", str(outputs), *CONF, *TOY, *args)


@pytest.fixture
def stands(sciml: Callable[..., Any], outputs: Path) -> Callable[..., dict[str, str]]:
    """State by run, as ``sciml status`` gives it to programs."""

    def call(*args: str) -> dict[str, str]:
        record = json.loads(sciml("status", "--format", "json", "--outputs", str(outputs), *args).out)
        return {run["run"]: run["state"] for run in record["runs"]}

    return call


def newest(outputs: Path) -> Sweep:
    return read(outputs / ".sweeps" / names(outputs)[-1])


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} if folder.exists() else set()


def queue(slurm: FakeSlurm, **states: str) -> None:
    slurm.queue(*((task.strip("t"), state, "None", 0, 0) for task, state in states.items()))


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path
) -> None:
    args = ("seed=0,1,1", "network.width=4,5", "+pinn.nan_at=null", "--launcher", "slurm", "launcher.runs_per_task=3")
    ended = sweep(*args, "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "6 runs of mine/toy: 2 twice, 4 to do",
        "  seed           0, 1",
        "  network.width  4, 5",
        f"launcher slurm, 2 tasks, run folders in {outputs}/",
    ]
    assert files(outputs) == set()
    assert slurm.calls("sbatch") == []


def test_an_array_of_frozen_runs(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    stands: Callable[..., dict[str, str]],
    slurm: FakeSlurm,
    outputs: Path,
    tmp_path: Path,
) -> None:
    """What is edited after the submission changes nothing, and every row is the one that ``sciml train`` makes."""
    conf = tmp_path / "conf"
    shutil.copytree(USER / "conf", conf)
    grid = ("-c", str(conf), "network.width=4,5")
    ended = sweep(*grid, "--launcher", "slurm", "launcher.time=60", "--array-parallel", "2")
    made = newest(outputs)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-4:] == [
        f"submitted as 1 array 71: {made.name}",
        f"  status  sciml status {made.name} --outputs {outputs}",
        f"  cancel  sciml cancel {made.name} --outputs {outputs}",
        f"  resume  sciml sweep --resume {made.name} --outputs {outputs}",
    ]
    script = Path(slurm.calls("sbatch")[0][1]).read_text()
    assert "#SBATCH --array=0-1%2\n" in script
    assert "#SBATCH --time=60\n" in script
    for index in range(2):
        assert f"'{sys.executable} -m sciml.cli.job {made.path} {index}'\n" in script
    queue(slurm, t71_0=RUNNING, t71_1=PENDING)
    assert set(stands().values()) == {"running", "queued"}

    for file in conf.rglob("*.yaml"):
        file.write_text("trainer: {max_steps: 3}\n")
    assert [job.main([str(made.path), str(index)]) for index in range(2)] == [0, 0]
    assert set(stands().values()) == {"done"}
    train = sciml("train", "-m", *CONF, *TOY, "network.width=4,5", f"outputs={tmp_path}/train")
    assert train.code == 0
    there = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "train").rglob("row.json")}
    for run in made.runs:
        row = made.folder(run).read_row()
        assert row is not None
        expected = there[Path(run.folder).name]
        assert {k: row[k] for k in ("metrics", "hash", "cost", "choices")} == {
            k: expected[k] for k in ("metrics", "hash", "cost", "choices")
        }
        assert row["command"] == expected["command"].replace(f"{tmp_path}/train", str(outputs))
    again = sweep("network.width=4,5", "--launcher", "slurm")
    assert (again.code, again.out.splitlines()[0]) == (0, "2 runs: 2 found, 0 to do")
    assert len(slurm.calls("sbatch")) == 1


def test_what_is_there_is_left_out(
    sweep: Callable[..., Any], stands: Callable[..., dict[str, str]], slurm: FakeSlurm, outputs: Path
) -> None:
    def first_line(*args: str) -> str:
        return sweep(*args, "--launcher", "slurm").out.splitlines()[0]

    assert first_line("seed=0,1,2") == "3 runs of mine/toy: 3 to do"
    first = newest(outputs)
    assert job.main([str(first.path), "0"]) == 0
    queue(slurm, t71_1=PENDING, t71_2=CANCELLED)
    assert stands() == {"seed=0": "done", "seed=1": "queued", "seed=2": "cancelled"}
    row = first.folder(first.runs[0]).row
    row.write_text("{")
    slurm.command("sbatch", "72\n")
    ended = sweep("seed=0,1,2,3", "--launcher", "slurm")
    assert ended.out.splitlines()[0] == "4 runs of mine/toy: 1 queued or running, 3 to do"
    assert f"to be made again: {row} is damaged" in ended.err
    assert row.with_name("row.damaged.json").read_text() == "{"
    second = newest(outputs)
    assert [run.label for run in second.runs] == ["seed=0", "seed=2", "seed=3"]
    # The first sweep knows what became of its runs in the second.
    queue(slurm, t71_1=PENDING, t71_2=CANCELLED, t72_0=RUNNING, t72_1=PENDING)
    assert stands(first.name) == {"seed=0": "running", "seed=1": "queued", "seed=2": "queued"}
    # A scheduler that says nothing: what was submitted is not submitted again.
    slurm.command("squeue", err="slurm_load_jobs error: Unable to contact slurm controller", code=1)
    ended = sweep("seed=0,1,2,3,4", "--launcher", "slurm", "--dry-run")
    assert ended.out.splitlines()[0] == "5 runs of mine/toy: 4 queued or running, 1 to do"
    assert "SLURM does not answer" in ended.err


def test_a_data_file_that_has_changed_since_a_run_that_is_found(
    sweep: Callable[..., Any], outputs: Path, tmp_path: Path
) -> None:
    data = tmp_path / "mine.npz"
    data.write_bytes(b"one")
    assert sweep("seed=0,1", "--launcher", "local").code == 0
    for path in outputs.rglob("row.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {str(data): record_of(data)}}))
    assert "has changed" not in sweep("seed=0,1,2", "--dry-run").err
    data.write_bytes(b"another")
    ended = sweep("seed=0,1,2", "--dry-run")
    assert ended.out.splitlines()[0] == "3 runs of mine/toy: 2 found, 1 to do"
    assert f"{data} has changed since 2 finished runs read it" in ended.err
    assert "has changed" not in sweep("seed=0,1,2", "--dry-run", "--force").err


def test_force(sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path) -> None:
    assert sweep("seed=0", "--launcher", "slurm").code == 0
    made = newest(outputs)
    assert job.main([str(made.path), "0"]) == 0
    ended = sweep("seed=0", "--launcher", "slurm", "--force")
    assert ended.out.splitlines()[0] == "1 run of mine/toy: 1 to do"
    folder = made.folder(made.runs[0])
    assert (folder.path / "row.previous.json").exists()
    assert job.main([str(newest(outputs).path), "0"]) == 0
    assert job.main([str(newest(outputs).path), "0"]) == 0  # requeued after it was done: found
    assert folder.row.exists()


def test_resume_submits_what_is_not_done_and_nothing_else(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    stands: Callable[..., dict[str, str]],
    slurm: FakeSlurm,
    outputs: Path,
) -> None:
    slurm.command("sbatch", "71\n")
    ended = sweep(
        "seed=0,1,2,3", "+pinn.nan_at=3,null", "--launcher", "slurm", "launcher.account=me", "launcher.cpus=2"
    )
    assert ended.code == 0
    made = newest(outputs)
    for index in (0, 1):
        assert job.main([str(made.path), str(index)]) == 1 - index
    made.folder(made.runs[2]).update_status(state="stopped", step=5)
    made.folder(made.runs[4]).update_status(state="running")
    queue(slurm, t71_0="FAILED", t71_1="COMPLETED", t71_2="CANCELLED", t71_3=PENDING, t71_4="OUT_OF_MEMORY",
          t71_5=RUNNING)  # fmt: skip
    states = ["failed", "done", "cancelled", "queued", "lost", "running", "missing", "missing"]
    assert list(stands().values()) == states
    ended = sciml("status", "--outputs", str(outputs))
    assert ended.code == 1
    assert "loss term 'zero' became nan at step 3" in ended.out
    assert "out of memory, nothing saved" in ended.out

    refused = sciml("sweep", "--resume", made.name, "--outputs", str(outputs), "seed=3")
    assert refused.err == "error: --resume does again what was frozen: leave out seed=3\n"
    slurm.command("sbatch", err="sbatch: error: Batch job submission failed: Invalid account", code=1)
    refused = sciml("sweep", "--resume", made.name, "--outputs", str(outputs))
    assert refused.code == 2
    assert "Batch job submission failed: Invalid account" in refused.err
    assert list(stands().values()) == states
    slurm.command("sbatch", "72\n")
    ended = sciml("sweep", "--resume", made.name[:12], "--outputs", str(outputs), "launcher.memory=8G")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[0].endswith("; 5 to do")
    tasks = newest(outputs).submissions[-1].tasks
    assert [(task.runs, task.id) for task in tasks] == [((i,), f"72_{n}") for n, i in enumerate((0, 2, 4, 6, 7))]
    # With the settings that it had, and those that were given now.
    script = Path(slurm.calls("sbatch")[-1][1]).read_text()
    for option in ("account=me", "cpus-per-task=2", "mem=8G"):
        assert f"#SBATCH --{option}\n" in script
    queue(slurm, t71_3=PENDING, t71_5=RUNNING, **{f"t72_{n}": PENDING for n in range(5)})
    assert list(stands().values()) == ["queued", "done", "queued", "queued", "queued", "running", "queued", "queued"]
    ended = sciml("sweep", "--resume", made.name, "--outputs", str(outputs))
    assert ended.out.splitlines()[0].endswith("; 0 to do")


def test_cancel(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    stands: Callable[..., dict[str, str]],
    slurm: FakeSlurm,
    outputs: Path,
) -> None:
    sweep("seed=0,1,2", "--launcher", "slurm")
    made = newest(outputs)
    assert job.main([str(made.path), "1"]) == 0
    queue(slurm, t71_0=RUNNING, t71_2=PENDING)
    ended = sciml("cancel", made.name, "--outputs", str(outputs))
    assert (ended.code, ended.out) == (0, f"{made.name}: 2 runs cancelled\n")
    assert slurm.calls("scancel") == [["71_0", "71_2"]]
    slurm.queue()
    assert stands() == {"seed=0": "cancelled", "seed=1": "done", "seed=2": "cancelled"}
    ended = sciml("cancel", made.name, "--outputs", str(outputs))
    assert ended.out == f"{made.name}: nothing is queued or running\n"
    assert sciml("cancel", "nothing", "--outputs", str(outputs)).err.startswith("error: there is no sweep nothing")


def test_a_sweep_that_is_refused_leaves_nothing(sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path) -> None:
    slurm.command("sbatch", err="sbatch: error: invalid partition specified: nope", code=1)
    ended = sweep("seed=0,1", "--launcher", "slurm", "launcher.partition=nope")
    assert ended.code == 2
    assert ended.err.startswith("error: SLURM refuses ")
    assert ended.err.endswith("invalid partition specified: nope\n")
    assert files(outputs) == set()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["-l", "slrum"],
            "there is no launcher slrum; did you mean slurm?\n  available: joblib, local, slurm, submitit; ",
        ),
        (["-l", "slurm", "launcher.tiem=3"], "there is no setting launcher.tiem; did you mean launcher.time?\n"),
        (
            ["-l", "slurm", "launcher.cpus=two"],
            "bad value for launcher.cpus: 'two' is not a whole number of at least 1\n",
        ),
        (["-l", "slurm", "launcher.cpus=0"], "bad value for launcher.cpus: 0 is not a whole number of at least 1\n"),
        (["launcher.jobs=1,2"], "launcher.jobs=1,2: a launcher has one value of each setting\n"),
        (["~launcher.jobs"], "~launcher.jobs: a setting of a launcher cannot be taken out\n"),
        (["-l", "slurm", "--jobs", "3"], "the launcher slurm has no --jobs: there is no launcher.jobs\n"),
        (["--array-parallel", "3"], "the launcher local has no --array-parallel: there is no launcher.parallel\n"),
        (["launcher=slurm"], "launcher=slurm: say --launcher slurm\n"),
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: a sweep does not run through Hydra; say --launcher NAME\n"),
        (["seed=range(3,3)"], "this sweep is empty: one of its overrides has no values\n"),
        (["optimizer.rl=1,2"], "there is no setting optimizer.rl; did you mean optimizer.lr"),
        (
            ["seed=0,-1"],
            "job seed=-1: bad value for seed: -1 is not a whole number of at least 0 and at most 4294967295",
        ),
        (["+pinn.nan_att=1"], "there is no setting pinn.nan_att; did you mean pinn.nan_at? (from command line)\n"),
        (["outputs=a,b"], "a sweep has one folder of outputs, not 2: a, b\n"),
        (["seed=interval(0,1)"], "seed=interval(0,1): a grid needs values that can be counted: a,b or range(0,3)"),
        (["--resume", "nothing", "seed=1"], "--resume does again what was frozen: leave out +experiment=mine/toy\n"),
    ],
)
def test_mistakes(args: list[str], message: str, sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path) -> None:
    ended = sweep(*args)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: {message}")
    assert files(outputs) == set()


def test_without_slurm(
    sweep: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = sweep("seed=0", "--launcher", "slurm")
    assert ended.code == 2
    assert ended.err == "error: SLURM is not installed on this machine: there is no scontrol on the PATH\n"
    assert files(outputs) == set()


def test_outputs_that_cannot_be_written(sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path) -> None:
    outputs.write_text("")
    ended = sweep("seed=0", "--launcher", "slurm")
    assert ended.code == 1
    assert ended.err.startswith(f"error: cannot write {outputs}/.sweeps/mine-toy-")
    assert ended.err.count("\n") == 1


def test_a_site_has_its_own_launcher(
    sciml: Callable[..., Any], mine: Callable[..., str], slurm: FakeSlurm, outputs: Path
) -> None:
    folder = mine(launcher__big="defaults: [slurm]\npartition: gpu\ntime: '2:00:00'\nsetup: [module load cuda]\n")
    experiment = ("+experiment=daw2023r3/convection", "track.mode=disabled", "--outputs", str(outputs), "-c", folder)
    ended = sciml("sweep", *experiment, "--launcher", "big", "+launcher.sbatch.nice=10", "launcher.sbatch.hold=true")
    assert (ended.code, ended.err) == (0, "")
    script = Path(slurm.calls("sbatch")[0][1]).read_text()
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --time=2:00:00",
        "#SBATCH --nice=10",
        "#SBATCH --hold",
        "module load cuda",
    ):
        assert f"{line}\n" in script
    folder = mine(launcher__big="_target_: sciml.launcher.slurm.Slurm\ntime: 2:00:00\n")
    ended = sciml("sweep", *experiment, "--launcher", "big")
    assert (
        ended.err == f"error: bad value for launcher.time: 7200 is not text or null (from {folder}/launcher/big.yaml)\n"
    )
    mine(launcher__big="_target_: torch.optim.Adam\n")
    assert "launcher._target_ torch.optim.Adam is not a launcher" in sciml("sweep", *experiment, "-l", "big").err
    mine(launcher__big="partition: gpu\n")
    assert "launcher names no class: its _target_ is missing" in sciml("sweep", *experiment, "-l", "big").err


STUB = """#!{python} -S
import json, os, sys, time
from pathlib import Path
sweep = Path(sys.argv[sys.argv.index("sciml.cli.job") + 1])
run = json.loads((sweep / "sweep.json").read_text())["runs"][int(sys.argv[-1])]
folder = sweep.parent.parent / run["folder"]
what = Path("{plan}").read_text()
if run["seed"] == 1 and what == "fail":
    print("error: there is no module mine")
    sys.exit(2)
if run["seed"] == 1 and what == "hang":
    Path("{plan}").with_name("hangs").touch()
    time.sleep(30)
row = dict(experiment="mine/toy", family="pinn", hash=folder.name[:10], seed=run["seed"], metrics=dict(rel_l2=0.25))
(folder / "row.json").write_text(json.dumps(row))
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the place of ``python -m sciml.cli.job``, which takes seconds to start; the file says what it does."""
    program, plan = tmp_path / "stub", tmp_path / "plan"
    program.write_text(STUB.format(python=sys.executable, plan=plan))
    program.chmod(0o755)
    plan.write_text("")
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(local, "POLL", 0.01)
    return plan


def test_side_by_side_on_this_machine(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    stands: Callable[..., dict[str, str]],
    stub: Path,
    outputs: Path,
) -> None:
    stub.write_text("fail")
    ended = sweep("seed=0,1,2", "--jobs", "2")
    assert ended.code == 1
    said = sorted(line.split("(")[0].rstrip() for line in ended.err.splitlines())
    assert said == sorted([*(f"start  seed={i}" for i in range(3)), *(f"done   seed={i}: rel_l2 0.25" for i in (0, 2)),
                           "failed seed=1: there is no module mine"])  # fmt: skip
    name = newest(outputs).name
    assert f"{name}: 3 runs, 2 done, 1 failed" in ended.out
    assert "there is no module mine" in ended.out
    stub.write_text("")
    ended = sciml("sweep", "--resume", name, "--outputs", str(outputs))
    assert ended.code == 0
    assert set(stands().values()) == {"done"}


def test_cancel_and_status_from_elsewhere(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    stands: Callable[..., dict[str, str]],
    stub: Path,
    outputs: Path,
) -> None:
    stub.write_text("hang")
    pid = child(lambda: sweep("seed=0,1,2", "--jobs", "1").code)
    end = time.monotonic() + 30
    while not stub.with_name("hangs").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert list(stands().values()) == ["done", "queued", "queued"]
    assert sweep("seed=0,1,2,3", "--dry-run").out.startswith(
        "4 runs of mine/toy: 1 found, 2 queued or running, 1 to do"
    )
    ended = sciml("cancel", newest(outputs).name, "--outputs", str(outputs))
    assert ended.out.endswith(": 2 runs cancelled\n")
    assert wait(pid) == 143
    assert list(stands().values()) == ["done", "cancelled", "cancelled"]


def test_several_runs_in_one_task(sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path, capfd: Any) -> None:
    """One that fails does not keep the others from being made; what has a row is not made again."""
    sweep("seed=0,1", "+pinn.nan_at=null,3", "--launcher", "slurm", "launcher.runs_per_task=4")
    made = newest(outputs)
    assert [task.runs for task in made.submissions[0].tasks] == [(0, 1, 2, 3)]
    assert job.main([str(made.path), "0", "1", "2", "3"]) == 1
    assert [made.folder(run).row.exists() for run in made.runs] == [True, False, True, False]
    said = [line for line in capfd.readouterr().err.splitlines() if "-seed" in line and "exit code" in line]
    assert len(said) == 2
    row = made.folder(made.runs[0]).row
    before = row.stat().st_mtime_ns
    assert job.main([str(made.path), "0", "2"]) == 0
    assert row.stat().st_mtime_ns == before


@pytest.mark.parametrize("indices", [["0"], ["0", "1"]])
def test_a_notice_saves_and_requeues_once(
    indices: list[str], sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep("seed=0,1", "trainer.max_steps=5000", "+pinn.nap=0.01", "--launcher", "slurm")
    made = newest(outputs)
    for name, value in (("JOB_ID", "80"), ("ARRAY_JOB_ID", "71"), ("ARRAY_TASK_ID", "0"), ("PROCID", "0")):
        monkeypatch.setenv(f"SLURM_{name}", value)
    slurm.job("80")
    pid = child(lambda: job.main([str(made.path), *indices]))
    folder = made.folder(made.runs[0])
    wait_for_step(folder, 10)
    os.kill(pid, signal.SIGUSR2)
    assert wait(pid) == 75
    requeued = [call for call in slurm.calls("scontrol") if call[0] == "requeue"]
    assert requeued == [["requeue", "71_0"]]
    assert folder.read_status()["state"] == "stopped"
    assert folder.last.exists()
    assert made.folder(made.runs[1]).read_status()["state"] == "queued"


def test_a_job_that_is_asked_for_what_is_not_there(
    sweep: Callable[..., Any], slurm: FakeSlurm, outputs: Path, tmp_path: Path, capsys: Any
) -> None:
    sweep("seed=0", "--launcher", "slurm")
    path = str(newest(outputs).path)
    for argv, said in (
        ([path, "1"], "usage: "),
        ([path, "x"], "usage: "),
        ([], "usage: "),
        ([str(tmp_path), "0"], "not a sweep"),
    ):
        assert job.main(argv) == 2
        assert said in capsys.readouterr().err
    config = RunFolder(next(outputs.glob("mine/toy/*"))).config
    stored = yaml.safe_load(config.read_text())
    stored["config"]["threads"] = 2
    config.write_text(yaml.safe_dump(stored))
    assert job.main([path, "0"]) == 2
    assert "was edited: its hash is" in capsys.readouterr().err


def test_watching(
    sweep: Callable[..., Any],
    sciml: Callable[..., Any],
    slurm: FakeSlurm,
    outputs: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sweep("seed=0,1", "--launcher", "slurm")
    made = newest(outputs)
    looks = iter([{"71_0": RUNNING}, {"71_0": RUNNING}, {"71_0": "TIMEOUT", "71_1": "CANCELLED"}])

    def states(ids: object, timeout: float) -> dict[str, JobState]:
        return {i: JobState(i, state) for i, state in {"71_1": PENDING, **next(looks)}.items()}

    monkeypatch.setattr("sciml.scheduler.states", states)
    monkeypatch.setattr(status, "EVERY", 0.0)
    ended = sciml("status", made.name, "--watch", "--outputs", str(outputs))
    assert ended.code == 1
    assert ended.out.splitlines() == [
        f"{made.name}: 2 runs, 1 queued, 1 running",
        "lost      seed=0: time limit reached, nothing saved",
        "cancelled seed=1",
        "          2 runs, 1 cancelled, 1 lost",
    ]


def test_all_sweeps(sweep: Callable[..., Any], sciml: Callable[..., Any], slurm: FakeSlurm, outputs: Path) -> None:
    assert sciml("status").err == "error: outputs holds no sweeps; sciml sweep makes one\n"
    sweep("seed=0,1", "--launcher", "slurm")
    first = newest(outputs)
    slurm.command("sbatch", "72\n")
    time.sleep(1.1)  # the time is in the name
    sweep("seed=2", "--launcher", "slurm")
    second = newest(outputs)
    queue(slurm, t71_0=PENDING, t71_1="FAILED", t72_0=RUNNING)
    ended = sciml("status", "--outputs", str(outputs))
    lines = [line.split() for line in ended.out.splitlines() if line]
    assert ended.code == 0  # of the newest
    assert lines[0] == ["sweep", "made", "runs", "queued", "running", "lost"]
    assert [lines[1][0], *lines[1][3:]] == [first.name, "2", "1", "1"]
    assert [lines[2][0], *lines[2][3:]] == [second.name, "1", "1"]
    assert lines[3] == [f"{second.name}:", "1", "runs,", "1", "running"]
    assert lines[5] == ["seed=2", "running", "72_0"]
    assert sciml("status", "--format", "yaml", "--outputs", str(outputs)).err.startswith(
        "error: there is no format yaml"
    )
    (first.path / "sweep.json").write_text("{")
    assert "sweep.json is damaged" in sciml("status", "--outputs", str(outputs)).err


def test_through_hydra(
    train: Callable[..., Any], stands: Callable[..., dict[str, str]], slurm: FakeSlurm, outputs: Path
) -> None:
    """``sciml train -m hydra/launcher=sciml_slurm`` freezes and submits, and does not wait."""
    toy = [word for word in TOY if not word.startswith("track")]
    args = (*CONF, *toy, "seed=0,1", "hydra/launcher=sciml_slurm", "hydra.launcher.partition=p")
    ended = train("-m", *args)
    assert (ended.code, ended.err) == (0, "")
    assert [line.split() for line in ended.out.splitlines()[-2:]] == [["seed=0", "submitted"], ["seed=1", "submitted"]]
    assert "#SBATCH --partition=p\n" in Path(slurm.calls("sbatch")[0][1]).read_text()
    made = newest(outputs)
    assert job.main([str(made.path), "0"]) == 0
    queue(slurm, t71_1=PENDING)
    assert stands() == {"seed=0": "done", "seed=1": "queued"}
    ended = train("-m", *args)
    assert [line.split()[1] for line in ended.out.splitlines()[-2:]] == ["found", "found"]
    assert len(slurm.calls("sbatch")) == 1
    refused = train("-m", *args, "hydra.launcher.tiem=1")
    assert refused.code == 2
    assert "hydra.launcher.tiem" in refused.err


def test_a_search_is_handed_on(sciml: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("sciml.cli.search.search", lambda *args, **kwargs: given.update(kwargs, args=args) or 0)
    ended = sciml("sweep", "+experiment=a/b", "lr=interval(0,1)", "launcher.time=60", "--optuna", "5",
                  "--objective", "e", "--direction", "maximize", "-l", "slurm", "--jobs", "3")  # fmt: skip
    assert ended.code == 0
    assert given == {
        "args": (["+experiment=a/b", "lr=interval(0,1)", "launcher.time=60"], 5),
        "objective": "e",
        "direction": "maximize",
        "launcher": "slurm",
        "jobs": 3,
        "config_dir": None,
        "trust": [],
        "outputs": "outputs",
        "grid": {"--dry-run": False, "--resume": None, "--force": False, "--array-parallel": None},
    }


def test_ctrl_c_while_composing(sweep: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sciml.cli.sweep.planned", interrupted)
    ended = sweep("seed=0")
    assert (ended.code, ended.err) == (130, "error: interrupted; nothing was submitted\n")
    assert files(outputs) == set()
