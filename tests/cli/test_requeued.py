"""A run inside a job of SLURM's, with stand-ins for SLURM's commands; tests/slurm does the same on a real cluster."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_slurm import FakeSlurm
from helpers import USER, child, wait

ARGV = ["+experiment=mine/toy", "track.mode=disabled", "+pinn.nap=0.02", "trainer.max_steps=5000"]


@pytest.mark.parametrize("command", ["train", "resume"])
def test_a_run_in_a_batch_job_is_requeued(
    outputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sciml: Callable[..., object], command: str
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    path = os.environ["PATH"]
    slurm = FakeSlurm(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{path}")
    slurm.job("7")
    log = tmp_path / "log"

    def work(command: str) -> int:
        from sciml.cli.launch import launch
        from sciml.cli.runs import resume_run

        sys.stderr = open(log, "w")  # noqa: SIM115
        if command == "resume":
            code = resume_run("mine/toy", ["toy_package"], str(outputs))
        else:
            code = launch([*ARGV, f"outputs={outputs}"], config_dir=str(USER / "conf"), trust=["toy_package"])
        sys.stderr.flush()
        return code

    def interrupt(command: str, number: int) -> int:
        for metrics in outputs.rglob("metrics.jsonl"):
            metrics.unlink()
        pid = child(lambda: work(command))
        end = time.monotonic() + 60
        while not any(p.read_text() for p in outputs.rglob("metrics.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(pid, number)
        return wait(pid)

    if command == "resume":
        assert interrupt("train", signal.SIGTERM) == 143
        assert "requeued" not in log.read_text()
    assert interrupt(command, signal.SIGUSR2) == 75
    assert log.read_text().endswith("job 7 is requeued and will go on by itself\n")
    assert [call for call in slurm.calls("scontrol") if call[0] == "requeue"] == [["requeue", "7"]]
    assert len(list(outputs.rglob("last.ckpt"))) == 1, "saved before"


def test_of_a_job_that_was_requeued_its_last_end_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sciml.cli import launch

    path = tmp_path / "results.jsonl"
    stopped = {"overrides": ["seed=0"], "state": "stopped", "code": 75, "error": "stopped by signal 12"}
    done = {"overrides": ["seed=0"], "state": "done", "code": 0, "metrics": {"a": 1.0}}
    path.write_text(f"{json.dumps(stopped)}\n{json.dumps(done)}\n")
    assert launch._summary(path, 1) == 0
    assert "stopped" not in capsys.readouterr().out
