from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from sciml import scheduler
from sciml.errors import UsageError
from sciml.scheduler import JobState, SchedulerError


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return FakeSlurm(tmp_path / "bin", monkeypatch)


def test_one_question_for_many_jobs(slurm: FakeSlurm) -> None:
    slurm.queue(
        ("7_0", "RUNNING", "None", 2, 0),
        ("7_1", "PENDING", "Resources", 0, 0),
        ("7_2", "FAILED", "NonZeroExitCode", 0, 75 << 8),
        ("9", "CANCELLED", "None", 0, 15),
        ("12", "OUT_OF_MEMORY", "OutOfMemory", 1, 253),
    )
    known = scheduler.states(["7_0", "7_2", "9", "12"])
    assert known == {
        "7_0": JobState("7_0", "RUNNING", "", 2),
        "7_2": JobState("7_2", "FAILED", "NonZeroExitCode", 0, code=75),
        "9": JobState("9", "CANCELLED", "", 0, signum=15),
        "12": JobState("12", "OUT_OF_MEMORY", "OutOfMemory", 1, signum=125),
    }
    assert len(slurm.calls("squeue")) == 1
    assert "--jobs=12,7,9" in slurm.calls("squeue")[0]
    assert not slurm.calls("sacct")


def test_the_id_of_an_array_stands_for_its_tasks(slurm: FakeSlurm) -> None:
    slurm.queue(("7_0", "RUNNING", "None", 0, 0), ("7_1", "PENDING", "None", 0, 0), ("70", "RUNNING", "None", 0, 0))
    assert list(scheduler.states(["7"])) == ["7_0", "7_1"]


def test_the_accounting_knows_what_the_controller_forgot(slurm: FakeSlurm) -> None:
    slurm.queue(("7_1", "RUNNING", "None", 1, 0))
    slurm.command(
        "sacct",
        "7_0|REQUEUED|0:0\n7_0.batch|CANCELLED|0:15\n7_0|COMPLETED|0:0\n7_0.batch|COMPLETED|0:0\n"
        "7_1|RUNNING|0:0\n8|CANCELLED by 0|0:15\n9|FAILED|1:0\n9.batch|FAILED|1:0\n9.0|OUT_OF_MEMORY|0:125\n"
        "7_[2-5]|PENDING|0:0\n",
    )
    known = scheduler.states(["7_0", "7_1", "8", "9", "10"])
    assert known["7_0"] == JobState("7_0", "COMPLETED", restarts=1)
    assert known["7_1"].restarts == 1, "the controller knows better while it knows at all"
    assert known["8"].ending() == "cancelled"
    assert known["9"].ending() == "out of memory", "a step that was killed says more than the script that failed for it"
    assert sorted(known) == ["7_0", "7_1", "8", "9"]
    assert "--jobs=10,7,8,9" in slurm.calls("sacct")[0]


def test_without_accounting_a_forgotten_job_is_not_in_the_answer(slurm: FakeSlurm) -> None:
    slurm.command("squeue", err="slurm_load_jobs error: Invalid job id specified", code=1)
    assert scheduler.states(["7"]) == {}


def test_no_jobs_no_question(slurm: FakeSlurm) -> None:
    assert scheduler.states([]) == {}
    assert not slurm.log.exists()


def test_a_scheduler_that_hangs_is_one_line_and_leaves_nothing_behind(slurm: FakeSlurm) -> None:
    slurm.command("squeue", script=f"sleep 600 & echo $! >{slurm.folder}/pid; wait")
    with pytest.raises(SchedulerError, match=r"SLURM does not answer: squeue took longer than 1 s; .*try again later"):
        scheduler.states(["7"], timeout=1.0)
    child = int((slurm.folder / "pid").read_text())
    end = time.monotonic() + 20  # a kill is on its way when the call returns
    while (state := state_of(child)) not in (None, "Z"):
        assert time.monotonic() < end, f"process {child} is still there: {state}"
        time.sleep(0.01)


def state_of(pid: int) -> str | None:
    """The letter of a process's state; None if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2]
    except OSError:
        return None


@pytest.mark.parametrize("call", [
    lambda: scheduler.states(["7"]), lambda: scheduler.cancel(["7"]), lambda: scheduler.longest_array(),
    lambda: scheduler.submit(Path("x.sbatch")), lambda: scheduler.show("7"),
])  # fmt: skip
def test_a_controller_that_is_down(slurm: FakeSlurm, call: Callable[[], object]) -> None:
    line = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"
    for name in ("squeue", "scancel", "scontrol", "sbatch"):
        slurm.command(name, err=line, code=1)
    with pytest.raises(SchedulerError, match=r"SLURM does not answer: .*Unable to contact slurm controller") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_without_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="SLURM is not installed on this machine: there is no squeue"):
        scheduler.states(["7"])


def test_submit(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.command("sbatch", "41;cluster\n", script=f"env >{slurm.folder}/env")
    for name, value in {
        "SLURM_JOB_ID": "3",
        "SLURM_MEM_PER_CPU": "7",
        "SLURM_CONF": "/c",
        "SBATCH_ACCOUNT": "a",
    }.items():
        monkeypatch.setenv(name, value)
    assert scheduler.submit(Path("/some/x.sbatch")) == "41"
    assert slurm.calls("sbatch") == [["--parsable", "/some/x.sbatch"]]
    seen = {line.split("=")[0] for line in (slurm.folder / "env").read_text().splitlines()}
    assert {"SLURM_CONF", "SBATCH_ACCOUNT"} <= seen
    assert not {"SLURM_JOB_ID", "SLURM_MEM_PER_CPU"} & seen, "a job must not inherit the size of the one around it"


def test_a_script_that_slurm_refuses(slurm: FakeSlurm) -> None:
    slurm.command("sbatch", err="sbatch: error: invalid partition specified: x\nsbatch: error: Batch job submission "
                  "failed: Invalid partition name specified", code=1)  # fmt: skip
    with pytest.raises(UsageError, match=r"^SLURM refuses x.sbatch: Batch job submission failed: Invalid partition"):
        scheduler.submit(Path("x.sbatch"))


def test_cancel(slurm: FakeSlurm) -> None:
    slurm.command("scancel", err="scancel: error: Kill job error on job id 8: Invalid job id specified", code=1)
    scheduler.cancel(["7_1", "8", "7_1"])
    assert slurm.calls("scancel") == [["7_1", "8"]]
    slurm.command("scancel", err="scancel: error: Kill job error on job id 7: Access/permission denied", code=1)
    with pytest.raises(UsageError, match="Access/permission denied"):
        scheduler.cancel(["7"])


def test_longest_array(slurm: FakeSlurm) -> None:
    slurm.command("scontrol", "Configuration data\nMaxArraySize            = 1001\n")
    assert scheduler.longest_array() == 1001


@pytest.mark.parametrize(("state", "words"), [
    (JobState("1", "RUNNING"), ""), (JobState("1", "COMPLETED"), ""), (JobState("1", "COMPLETING", code=1), ""),
    (JobState("1", "CANCELLED", signum=15), "cancelled"), (JobState("1", "NODE_FAIL"), "its node failed"),
    (JobState("1", "TIMEOUT"), "time limit reached"), (JobState("1", "FAILED", code=3), "ended with exit code 3"),
    (JobState("1", "FAILED", signum=9), "killed by SIGKILL"), (JobState("1", "FAILED", code=137), "killed by SIGKILL"),
    (JobState("1", "OUT_OF_MEMORY"), "out of memory"), (JobState("1", "FAILED", signum=125), "out of memory"),
])  # fmt: skip
def test_how_a_job_ended(state: JobState, words: str) -> None:
    assert state.ending() == words
    assert state.over == (state.state not in ("RUNNING", "COMPLETING"))


@pytest.mark.parametrize(("line", "found"), [
    ("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=3.batch. Some of your processes", True),
    ("slurmstepd: error: Detected 2 oom_kill events in StepId=3.0.", True),
    ("slurmstepd-n1: error: StepId=2.0 exceeded memory limit (407 > 314), being killed", True),
    ("srun: error: n1: task 0: Killed", False),
])  # fmt: skip
def test_memory_in_the_output_of_a_job(tmp_path: Path, line: str, found: bool) -> None:
    output = tmp_path / "job.log"
    assert not scheduler.over_memory(output)
    output.write_text("step\n" * 20000 + line + "\n")
    assert scheduler.over_memory(output) == found
    assert os.path.getsize(output) > 65536, "the end of a long output is looked at"
