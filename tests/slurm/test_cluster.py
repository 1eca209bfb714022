"""sciml.scheduler and sciml.requeue against SLURM itself; the jobs are too small to import anything heavy."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sciml import scheduler

from .conftest import CPUS, SCRIPTS, Cluster, eventually

HUNGRY = "x = []\nwhile True: x.append(bytearray(20_000_000)); __import__('time').sleep(0.05)"
# What a run does with signals, without the run: waits for one, and sees to the job that it is in.
WAITING = """
import os, sys, time
from sciml.requeue import after
from sciml.signals import StopSignal
with StopSignal() as stop:
    print("start", os.environ.get("SLURM_RESTART_COUNT", 0), flush=True)
    while stop.signum is None and "SLURM_RESTART_COUNT" not in os.environ:
        time.sleep(0.02)
    code, line = (0, "") if stop.signum is None else after(stop.signum)
print("end", code, line, flush=True)
sys.exit(code)
"""


@pytest.fixture
def waiting(tmp_path: Path) -> str:
    program = tmp_path / "waiting.py"
    program.write_text(WAITING)
    return shlex.join([sys.executable, str(program)])


def test_how_jobs_end(either: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hungry = shlex.join([sys.executable, "-c", HUNGRY])
    parts = ["true", "exit 3", "kill -KILL $$", f"exec {hungry}", "sleep 600", f"srun {hungry}"]
    lines = [f"[[ $SLURM_ARRAY_TASK_ID == {i} ]] && {{ {part}; exit; }}" for i, part in enumerate(parts)]
    job = either.sbatch(tmp_path / "job", lines, array="0-5", mem="100M")
    either.wait(f"{job}_4", until=lambda state: state.state == "RUNNING")
    scheduler.cancel([f"{job}_4"])
    states = either.wait(job)

    def ending(i: int) -> str:
        return "out of memory" if scheduler.over_memory(tmp_path / f"job.{i}.log") else states[f"{job}_{i}"].ending()

    assert [ending(i) for i in range(6)] == [
        "", "ended with exit code 3", "killed by SIGKILL", "out of memory", "cancelled", "out of memory",
    ]  # fmt: skip
    if either.conf.with_name("cgroup.conf").exists():
        assert states[f"{job}_3"].state == "OUT_OF_MEMORY"
    # When the controller has forgotten them, which takes minutes, only the accounting is left.
    monkeypatch.setattr(scheduler, "_queue", lambda jobs, deadline: {})
    if either.accounts:
        later = eventually(
            lambda: len(found := scheduler.states([job])) == 6 and found, lambda: scheduler.states([job])
        )
        assert [later[f"{job}_{i}"].ending() for i in (0, 1, 2, 4)] == [ending(i) for i in (0, 1, 2, 4)]
    else:
        assert scheduler.states([job]) == {}


@pytest.mark.parametrize(("signal", "start"), [("USR2", "srun"), ("B:USR2", "exec"), ("B:USR2", "exec srun"),
                                               ("", "srun"), ("", "exec")])  # fmt: skip
def test_a_preempted_job_is_requeued_and_goes_on(
    cluster: Cluster, tmp_path: Path, waiting: str, signal: str, start: str
) -> None:
    notice = {"signal": f"{signal}@30"} if signal else {}  # without one SLURM sends SIGTERM
    job = cluster.sbatch(tmp_path / "job", [f"{start} {waiting}"], requeue="", **notice)
    output = tmp_path / "job.log"
    eventually(lambda: output.exists() and "start 0" in output.read_text(), lambda: scheduler.states([job]))
    urgent = cluster.sbatch(tmp_path / "urgent", ["true"], partition="urgent", ntasks=str(CPUS))
    cluster.wait(urgent)
    states = cluster.wait(job)
    said = output.read_text()
    assert (states[job].state, states[job].restarts) == ("COMPLETED", 1), said
    # A batch script that asked for no notice is told when its time is up, and SLURM requeues it itself.
    end = "end 143" if (signal, start) == ("", "exec") else f"end 75 job {job} is requeued and will go on by itself"
    assert said.index(end) < said.index("start 1") < said.index("end 0")


def test_a_task_of_an_array_is_requeued_alone(cluster: Cluster, tmp_path: Path, waiting: str) -> None:
    job = cluster.sbatch(tmp_path / "job", [f"exec {waiting}"], array="0-1", signal="B:USR2@30", requeue="")
    outputs = [tmp_path / f"job.{i}.log" for i in (0, 1)]
    eventually(lambda: all(o.exists() and "start 0" in o.read_text() for o in outputs), lambda: scheduler.states([job]))
    # The last task has the array's own number as a job.
    cluster.call("scancel", "--batch", "--signal=USR2", f"{job}_1")
    cluster.wait(f"{job}_1", until=lambda state: state.restarts == 1 and state.over)
    known = scheduler.states([job])
    assert [known[f"{job}_{i}"].restarts for i in (0, 1)] == [0, 1]
    assert known[f"{job}_0"].state == "RUNNING"
    scheduler.cancel([job])
    known = cluster.wait(job)
    assert known[f"{job}_0"].ending() == "cancelled"
    assert known[f"{job}_0"].restarts == 0
    eventually(lambda: "end 143" in outputs[0].read_text(), outputs[0].read_text)
    assert "requeued" not in outputs[0].read_text()


def test_a_job_that_may_not_be_requeued_says_so(cluster: Cluster, tmp_path: Path, waiting: str) -> None:
    job = cluster.sbatch(tmp_path / "job", [f"exec {waiting}"], signal="B:USR2@30", no_requeue="")
    output = tmp_path / "job.log"
    eventually(lambda: output.exists() and "start 0" in output.read_text(), lambda: scheduler.states([job]))
    cluster.call("scancel", "--batch", "--signal=USR2", job)
    state = cluster.wait(job)[job]
    assert (state.state, state.code, state.restarts) == ("FAILED", 75, 0)
    assert f"end 75 not requeued: job {job} may not be requeued; submit it with: sbatch --requeue" in output.read_text()


def test_up_twice_is_harmless_and_down_ends_what_up_started(
    cluster: Cluster, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = {path: path.read_text() for path in (cluster.folder / "run").glob("*.pid")}
    subprocess.run([SCRIPTS / "up", cluster.folder], check=True, capture_output=True, timeout=60)
    assert {path: path.read_text() for path in (cluster.folder / "run").glob("*.pid")} == before
    other = Cluster(tmp_path_factory.mktemp("other"))  # a short path: it goes into those of sockets
    subprocess.run([SCRIPTS / "up", other.folder], check=True, capture_output=True, timeout=60)
    try:
        pids = [int(path.read_text()) for path in (other.folder / "run").glob("*.pid")]
        assert len(pids) == 3
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SLURM_CONF", str(other.conf))
            job = other.sbatch(tmp_path / "job", ["echo $$ >pid.new && mv pid.new pid; sleep 600"], chdir=str(tmp_path))
            eventually((tmp_path / "pid").exists, lambda: scheduler.states([job]))
            pids.append(int((tmp_path / "pid").read_text()))
    finally:
        subprocess.run([SCRIPTS / "down", other.folder], check=True, capture_output=True, timeout=60)
    assert not [pid for pid in pids if lives(pid)]
    assert cluster.call("sinfo", "--noheader", "--format=%a", "--partition=main") == "up", "the other one is untouched"


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_is_missing_is_said(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    for name in ("bash", "id", "dirname", "realpath", "cat", "timeout", "rm", "grep", "find", "true"):
        (bare / name).symlink_to(subprocess.run(["which", name], capture_output=True, text=True).stdout.strip())
    script = (SCRIPTS / "up").read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "")
    (tmp_path / "up").write_text(script)
    (tmp_path / "down").write_text("#!/bin/bash\n")
    for name in ("up", "down"):
        (tmp_path / name).chmod(0o755)
    command = ["bash", tmp_path / "up", tmp_path_factory.mktemp("c")]  # a short path
    done = subprocess.run(command, env={"PATH": str(bare)}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stderr == (
        "slurm: slurmctld is missing: scripts/slurm/up --install gets it, as root on Debian or Ubuntu\n"
    )
