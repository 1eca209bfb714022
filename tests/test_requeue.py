from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm

from sciml import requeue
from sciml.signals import StopSignal, shield

NOTICE, TERM = signal.SIGUSR2, signal.SIGTERM


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    monkeypatch.setenv("SLURM_JOB_ID", "41")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "38")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    fake = FakeSlurm(tmp_path / "bin", monkeypatch)
    fake.job("38_3")
    return fake


def requeued(slurm: FakeSlurm) -> list[str]:
    return [call[1] for call in slurm.calls("scontrol") if call[0] == "requeue"]


def test_outside_slurm_a_notice_is_an_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = FakeSlurm(tmp_path / "bin", monkeypatch)
    assert requeue.after(NOTICE) == (75, "")
    assert requeue.after(TERM) == (143, "")
    assert not slurm.log.exists()


def test_a_notice_requeues_the_task_and_not_its_array(slurm: FakeSlurm) -> None:
    assert requeue.after(NOTICE) == (75, "job 38_3 is requeued and will go on by itself")
    assert requeued(slurm) == ["38_3"]


def test_a_job_that_is_no_array(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    requeue.after(NOTICE)
    assert requeued(slurm) == ["41"]


@pytest.mark.parametrize(("fields", "again"), [
    ({}, False),
    ({"PreemptTime": "2026-01-01T00:00:00"}, True),
    ({"PreemptTime": "2026-01-01T00:00:00", "JobState": "CANCELLED"}, False),
    ({"JobState": "TIMEOUT"}, False),
])  # fmt: skip
def test_sigterm_requeues_a_job_only_if_it_is_preempted(slurm: FakeSlurm, fields: dict[str, str], again: bool) -> None:
    slurm.job("38_3", **fields)
    assert requeue.after(TERM)[0] == (75 if again else 143)
    assert requeued(slurm) == (["38_3"] if again else [])


@pytest.mark.parametrize(("fields", "said"), [
    ({"Requeue": 0}, "not requeued: job 38_3 may not be requeued; submit it with: sbatch --requeue"),
    ({"BatchFlag": 0}, "not requeued: job 38_3 is not a batch job, which alone SLURM can requeue"),
    ({"JobState": "CANCELLED"}, "not requeued: job 38_3 was cancelled"),
])  # fmt: skip
def test_a_job_that_may_not_run_again_says_so(slurm: FakeSlurm, fields: dict[str, str], said: str) -> None:
    slurm.job("38_3", **fields)
    assert requeue.after(NOTICE) == (75, said)
    assert not requeued(slurm)


def test_a_scheduler_that_does_not_answer_is_said_and_does_not_fail(slurm: FakeSlurm) -> None:
    slurm.command("scontrol", err="Unable to contact slurm controller", code=1)
    code, said = requeue.after(NOTICE)
    assert code == 75
    assert said.startswith("not requeued: SLURM does not answer")
    assert requeue.after(TERM)[0] == 143


def test_somebody_else_was_faster(slurm: FakeSlurm) -> None:
    slurm.command("scontrol", "JobState=COMPLETING Requeue=1", script="[[ $1 == requeue ]] && exit 1")
    assert requeue.after(NOTICE) == (75, "job 38_3 is requeued and will go on by itself")
    slurm.command("scontrol", "JobState=RUNNING Requeue=1", script="[[ $1 == requeue ]] && exit 1")
    assert requeue.after(NOTICE)[1].startswith("not requeued: SLURM refuses")


def test_of_many_processes_one_speaks(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert requeue.after(NOTICE) == (75, "")
    assert not slurm.log.exists()


def test_the_handler_that_was_there_does_it_instead(slurm: FakeSlurm) -> None:
    called: list[tuple[int, object]] = []

    def handler(number: int, frame: object) -> None:
        called.append((number, signal.getsignal(TERM)))
        raise SystemExit(255)

    before = signal.signal(NOTICE, handler)
    try:
        with StopSignal() as stop:
            installed = stop.earlier(NOTICE)
            with pytest.raises(SystemExit):
                requeue.after(NOTICE, installed)
    finally:
        signal.signal(NOTICE, before)
    assert called == [(NOTICE, signal.SIG_IGN)], "what ends the process next must not end it before"
    assert not requeued(slurm)


def test_a_notice_stays_one_when_its_time_is_up() -> None:
    stop = StopSignal()
    stop.note(NOTICE)
    stop.note(TERM)
    assert stop.signum == NOTICE
    stop = StopSignal()
    stop.note(TERM)
    stop.note(NOTICE)
    assert stop.signum == NOTICE


def test_no_handler_of_pythons_own_counts_as_one() -> None:
    with StopSignal() as stop:
        assert [stop.earlier(number) for number in (signal.SIGINT, TERM, NOTICE)] == [None, None, None]


def test_the_shield_is_for_jobs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(NOTICE, signal.SIG_DFL)
    try:
        shield()
        assert signal.getsignal(NOTICE) is signal.SIG_DFL
        monkeypatch.setenv("SLURM_JOB_ID", "1")
        shield()
        assert signal.getsignal(NOTICE) is signal.SIG_IGN
    finally:
        signal.signal(NOTICE, before)
