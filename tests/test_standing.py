"""What is said of a run, from what it filed, what the scheduler says, and what the system knows."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sciml import scheduler
from sciml.attendance import attending
from sciml.errors import UsageError
from sciml.folder import RunFolder
from sciml.scheduler import JobState, SchedulerError
from sciml.standing import STATES, Answer, Standing, ask, counts, standing, standings
from sciml.sweep import Run, Submission, Sweep, Task

ROW = {"experiment": "a", "family": "pinn", "hash": "x", "seed": 0, "metrics": {"e": 0.5}, "cost": {"steps": 9}}
HERE = socket.gethostname()


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    path = tmp_path / "outputs" / ".sweeps" / "s"
    path.mkdir(parents=True)
    runs = tuple(Run(i, f"seed={i}", "a", i, f"a/x-seed{i}", 100, 1) for i in range(2))
    for run in runs:
        (tmp_path / "outputs" / run.folder).mkdir(parents=True)
    return Sweep(path, "sciml sweep", 1.0, {}, (), runs)


def given(sweep: Sweep, *ids: str, waits: bool = False, host: str = HERE, log: str = "log", when: float = 2.0) -> Sweep:
    tasks = tuple(Task((i,), task, log) for i, task in enumerate(ids))
    return replace(
        sweep, submissions=(*sweep.submissions, Submission(when, "slurm", {}, waits, host, os.getpid(), tasks))
    )


def filed(of: Sweep, **status: Any) -> RunFolder:
    folder = of.folder(of.runs[0])
    folder.status.write_text(json.dumps({"sweep": "s", **status}))
    return folder


def said(sweep: Sweep, job: JobState | None = None, silence: str = "") -> Standing:
    return standing(sweep, sweep.runs[0], Answer({job.id: job} if job else {}, silence))


@pytest.mark.parametrize(
    ("job", "status", "expected"),
    [
        (JobState("7_0", "PENDING"), {"state": "queued"}, ("queued", "")),
        (JobState("7_0", "PENDING", "QOSMaxCpuLimit"), {"state": "queued"}, ("queued", "QOSMaxCpuLimit")),
        (JobState("7_0", "PENDING", "BeginTime", 2), {"state": "stopped", "step": 4}, ("queued", "")),
        (JobState("7_0", "RUNNING"), {"state": "queued"}, ("running", "")),
        (JobState("7_0", "RUNNING"), {"state": "running", "step": 4}, ("running", "")),
        (JobState("7_0", "RUNNING", "", 1), {"state": "stopped", "step": 4}, ("running", "")),
        (JobState("7_0", "FAILED", code=1), {"state": "failed", "error": "it is\nnan"}, ("failed", "it is nan")),
        (JobState("7_0", "COMPLETED"), {"state": "failed", "error": "x"}, ("failed", "x")),
        (JobState("7_0", "FAILED", code=75), {"state": "stopped", "step": 4}, ("stopped", "saved at step 4")),
        (JobState("7_0", "OUT_OF_MEMORY"), {"state": "running", "step": 4}, ("lost", "out of memory, nothing saved")),
        (JobState("7_0", "NODE_FAIL"), {"state": "running"}, ("lost", "its node failed, nothing saved")),
        (JobState("7_0", "TIMEOUT"), {"state": "queued"}, ("lost", "time limit reached, nothing saved")),
        (JobState("7_0", "FAILED", code=137), {"state": "running"}, ("lost", "killed by SIGKILL, nothing saved")),
        (JobState("7_0", "CANCELLED"), {"state": "stopped", "step": 4}, ("cancelled", "saved at step 4")),
        (JobState("7_0", "CANCELLED"), {"state": "queued"}, ("cancelled", "")),
        (JobState("7_0", "COMPLETED"), {"state": "running"}, ("lost", "job 7_0 ended without a row, nothing saved")),
        (None, {"state": "running"}, ("lost", "SLURM does not know job 7_0 any more, nothing saved")),
        (None, {"state": "failed", "error": "x"}, ("failed", "x")),
        (None, {"state": "stopped", "step": 4}, ("stopped", "saved at step 4")),
        (None, {"state": "queued"}, ("missing", "")),
    ],
)
def test_a_run_of_the_scheduler(
    job: JobState | None, status: dict[str, Any], expected: tuple[str, str], sweep: Sweep
) -> None:
    filed(sweep, **status)
    found = said(given(sweep, "7_0"), job)
    assert (found.state, found.error) == expected
    assert found.job == "7_0"
    assert found.restarts == (job.restarts if job else 0)
    assert found.step == status.get("step")


def test_a_row_has_the_last_word(sweep: Sweep) -> None:
    folder = filed(sweep, state="running")
    folder.write_row(ROW)
    found = said(given(sweep, "7_0"), JobState("7_0", "NODE_FAIL"))
    assert (found.state, found.step, found.metrics) == ("done", 9, {"e": 0.5})
    folder.row.write_text("{")
    found = said(given(sweep, "7_0"), JobState("7_0", "COMPLETED"))
    assert found.state == "failed"
    assert found.error.startswith(f"{folder.row} is damaged")


def test_what_was_refused_before_it_began(sweep: Sweep) -> None:
    filed(sweep, state="queued")
    sweep = given(sweep, "7_0")
    (sweep.path / "log").write_text("hello\nerror: there is no module mine\n")
    assert said(sweep, JobState("7_0", "FAILED", code=2)) == replace(
        said(sweep), state="failed", error="there is no module mine", job="7_0"
    )


def test_memory_is_told_from_a_kill_by_the_output(sweep: Sweep) -> None:
    folder = filed(sweep, state="running", step=7)
    folder.last.touch()
    sweep = given(sweep, "7_0")
    (sweep.path / "log").write_text("slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0.\n")
    found = said(sweep, JobState("7_0", "FAILED", code=137))
    assert (found.state, found.error) == ("lost", "out of memory, saved at step 7")


def test_a_silent_scheduler(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once, about what has no row, and what the folders say is what there is."""
    asked: list[list[str]] = []

    def silent(ids: list[str], timeout: float) -> dict[str, JobState]:
        asked.append(list(ids))
        raise SchedulerError("SLURM does not answer")

    monkeypatch.setattr(scheduler, "states", silent)
    sweep = given(sweep, "7_0", "7_1")
    sweep.folder(sweep.runs[1]).write_row(ROW)
    answer = ask([sweep])
    assert answer == Answer(silence="SLURM does not answer")
    assert asked == [["7_0"]]
    for status, state in (("queued", "queued"), ("running", "running"), ("failed", "failed"), ("stopped", "stopped")):
        filed(sweep, state=status)
        assert [one.state for one in standings(sweep, answer)] == [state, "done"]


def test_a_pack_whose_turn_has_not_come(sweep: Sweep) -> None:
    submission = Submission(2.0, "slurm", {}, False, HERE, 1, (Task((0, 1), "7_0", "log"),))
    sweep = replace(sweep, submissions=(submission,))
    filed(sweep, state="queued")
    assert said(sweep, JobState("7_0", "RUNNING")).state == "queued"
    assert said(sweep, JobState("7_0", "COMPLETED")).state == "missing"
    filed(sweep, state="failed", error="x")
    assert said(sweep, JobState("7_0", "RUNNING")).state == "failed"


def test_runs_that_end_with_the_process_that_started_them(sweep: Sweep) -> None:
    sweep = given(sweep, "", "", waits=True)
    filed(sweep, state="queued")
    assert said(sweep).state == "missing"
    with attending(sweep):
        assert said(sweep).state == "queued"
        assert [one.state for one in standings(sweep, Answer())] == ["queued", "queued"]
    assert not list(sweep.path.glob(".launcher*"))
    folder = filed(sweep, state="running", step=3)
    with open(folder.path / ".lock", "w") as lock:
        lock.write(f"process {os.getpid()} on {HERE}")
        lock.flush()
        assert said(sweep).state == "lost"  # nobody holds the lock: the process that wrote it is gone
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert said(sweep).state == "running"
        # Whoever goes on with a run by hand is seen, whatever the scheduler says of its old job.
        assert said(given(sweep, "7_0"), JobState("7_0", "TIMEOUT")).state == "running"
        assert said(given(sweep, "7_0")).state == "running"
    assert said(sweep).error == "its process ended without a word, nothing saved"
    filed(sweep, state="stopped", step=3)
    assert (said(sweep).state, said(sweep).error) == ("stopped", "saved at step 3")


def test_cancelled_by_the_user(sweep: Sweep) -> None:
    sweep = replace(given(sweep, "", waits=True), cancelled={0: 3.0})
    for state in ("queued", "stopped", "running"):
        filed(sweep, state=state)
        assert said(sweep).state == "cancelled"
    filed(sweep, state="failed", error="x")
    assert said(sweep).state == "failed"
    assert said(given(sweep, "7_0"), JobState("7_0", "PENDING")).state == "queued"  # not yet


def test_a_run_that_another_sweep_has_now(sweep: Sweep) -> None:
    other = replace(given(sweep, "8_0"), path=sweep.path.with_name("t"))
    other.path.mkdir()
    other.write()
    filed(sweep, state="queued", sweep="t")
    found = said(given(sweep, "7_0"), JobState("8_0", "RUNNING"))
    assert (found.state, found.job) == ("running", "8_0")


def test_counts(sweep: Sweep) -> None:
    found = [Standing(sweep.runs[0], state) for state in ("lost", "done", "lost", "queued")]
    assert list(counts(found).items()) == [("queued", 1), ("done", 1), ("lost", 2)]
    assert set(counts(found)) <= set(STATES)


def test_without_slurm_nothing_is_known(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(ids: object, timeout: float) -> None:
        raise UsageError("SLURM is not installed on this machine")

    monkeypatch.setattr(scheduler, "states", missing)
    assert ask([given(sweep, "7_0")]).silence == "SLURM is not installed on this machine"
    assert ask([sweep]) == Answer()
