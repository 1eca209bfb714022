"""``sciml train``: one run, many runs, runs that fail, and what is printed at their end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import USER, child, wait

TOY = ("--config-dir", f"{USER}/conf", "--trust", "toy_package", "+experiment=mine/toy", "trainer.max_steps=10")


def rows(outputs: Path) -> dict[str, dict[str, Any]]:
    """Metrics by run folder."""
    return {path.parent.name: json.loads(path.read_text())["metrics"] for path in outputs.rglob("row.json")}


def test_a_run_and_its_panel(train: Callable[..., Any], outputs: Path) -> None:
    ended = train(*TOY)
    assert ended.code == 0
    ((name, metrics),) = rows(outputs).items()
    assert "mine/toy seed 0: step 10/10  loss " in ended.err
    for expected in ("mine/toy", f"{metrics['rel_l2']:.4g}", "warning this is a toy", "10 steps, ", "seed 0", name):
        assert expected in ended.out
    assert "\x1b" not in ended.out + ended.err

    again = train(*TOY)
    assert again.code == 0
    assert again.err == "this run is finished; --force repeats it\n"
    assert "mine/toy (found, not repeated)" in again.out
    assert f"{metrics['rel_l2']:.4g}" in again.out

    forced = train(*TOY, "--force")
    assert "step 10/10" in forced.err
    assert rows(outputs) == {name: metrics}
    assert (outputs / "mine" / "toy" / name / "row.previous.json").exists()

    row = outputs / "mine" / "toy" / name / "row.json"
    row.write_text(json.dumps({**json.loads(row.read_text()), "commit": "0" * 40}))
    assert "this run is finished by another commit (000000000, now " in train(*TOY).err
    row.write_text("{")
    ended = train(*TOY)
    assert ended.code == 2
    assert f"{row} is damaged" in ended.err


def test_reported_value(train: Callable[..., Any]) -> None:
    small = ("pinn.n_points=10", "pinn.n_val=10", "pinn.problem.grid.x=16", "pinn.problem.grid.t=5", "network.depth=1")
    ended = train("+experiment=daw2023r3/convection", "trainer.max_steps=1", *small)
    assert "reported 0.78 " in ended.out
    assert "this run: 1 steps" in ended.out


def test_a_run_that_fails(train: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = train(*TOY, "+pinn.break_at=3")
    assert ended.code == 1
    error = next(outputs.rglob("error.txt"))
    assert ended.err == f"error: mine/toy seed 0 failed: ValueError: the method broke\n  full trace: {error}\n"
    assert 'raise ValueError("the method broke")' in error.read_text()
    assert ended.out == ""
    monkeypatch.setenv("SCIML_TRACE", "1")
    with pytest.raises(AssertionError, match="Traceback"):
        train(*TOY, "+pinn.break_at=3")


def test_what_a_constructor_refuses(train: Callable[..., Any]) -> None:
    ended = train(*TOY, "+pinn.log_every=0")
    assert (ended.code, ended.err) == (2, "error: pinn: log_every must be at least 1\n")


def test_outputs_that_cannot_be_written(sciml: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = sciml("train", "track.mode=disabled", f"outputs={tmp_path}/file", *TOY)
    assert ended.code == 1
    assert ended.err.startswith(f"error: mine/toy seed 0 failed: cannot write {tmp_path}/file/mine/toy/")
    assert ended.err.count("\n") == 1


def test_trust_is_needed(train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bare = [word for word in TOY if word not in ("--trust", "toy_package")]
    ended = train(*bare)
    assert ended.code == 2
    assert "pinn: _target_ toy_package.Toy is not trusted" in ended.err
    assert f"(from {USER}/conf/pinn/toy.yaml)" in ended.err
    monkeypatch.setenv("SCIML_TRUST", "toy_package")
    assert train(*bare, "seed=-1").err.startswith("error: bad value for seed")


def test_a_package_that_is_not_there(train: Callable[..., Any], mine: Callable[..., str]) -> None:
    text = "# @package _global_\npinn: {_target_: no_such_package.Toy}"
    ended = train("-c", mine(experiment__a__b=text), "--trust", "no_such_package", "+experiment=a/b")
    assert ended.code == 2
    assert "pinn: _target_ no_such_package.Toy: there is no module no_such_package" in ended.err


def test_multirun_with_a_failing_job(train: Callable[..., Any], outputs: Path) -> None:
    ended = train("-m", *TOY, "+pinn.nan_at=null,3,null", "seed=1")
    assert ended.code == 1
    table = ended.out[ended.out.index(" job ") :].splitlines()
    assert [line.split()[:2] for line in table[1:]] == [
        ["+pinn.nan_at=null", "done"],
        ["+pinn.nan_at=3", "failed"],
        ["+pinn.nan_at=null", "found"],
    ]
    assert "loss term 'zero' became nan at step 3" in table[2]
    assert len(rows(outputs)) == 1


def test_a_mistake_in_one_job_stops_all(refused: Callable[..., str], outputs: Path) -> None:
    assert refused("-m", *TOY, "network=toynet,toynte").startswith("there is no network toynte; did you mean toynet?")
    assert refused("-m", *TOY, "seed=0,-1").startswith(
        "job seed=-1: bad value for seed: -1 is not a whole number of at least 0"
    )
    said = refused("-m", *TOY, "+pinn.nan_att=3", "seed=0,1")
    assert said.startswith("job seed=0: there is no setting pinn.nan_att; did you mean pinn.nan_at?")
    assert refused("-m", *TOY[:-2]).startswith("no experiment is chosen: add +experiment=")
    assert refused("-m", *TOY, "hydra/launcher=nope").startswith("there is no hydra/launcher nope\n  available: basic")
    assert not outputs.exists()


def test_a_launcher_that_cannot_start(train: Callable[..., Any]) -> None:
    ended = train("-m", *TOY, "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=7")
    assert (ended.code, ended.err) == (2, "error: n_jobs == 0 in Parallel has no meaning\n")


def test_jobs_that_are_lost(sciml: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sciml.cli import launch

    path = tmp_path / "results.jsonl"
    assert launch._summary(path, 2) == 1
    assert capsys.readouterr().err == "error: 2 of 2 jobs ended without a result: their processes were killed\n"
    path.write_text(json.dumps({"overrides": ["seed=0"], "state": "done", "code": 0, "metrics": {"a": 1.0}}) + "\n")
    assert launch._summary(path, 1) == 0


def test_joblib_gives_the_same_rows(train: Callable[..., Any], outputs: Path, tmp_path: Path) -> None:
    assert train("-m", *TOY, "seed=0,1").code == 0
    basic = rows(outputs)
    ended = train(
        "-m", *TOY, "seed=0,1", f"outputs={tmp_path}/joblib", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )
    assert ended.code == 0
    assert sorted(line.split()[:2] for line in ended.out.splitlines() if line.startswith(" seed=")) == [
        ["seed=0", "done"],
        ["seed=1", "done"],
    ]
    assert rows(tmp_path / "joblib") == basic
    assert len(basic) == 2


def test_signals(outputs: Path) -> None:
    """A stop ends a run, and a sweep, with the code that tells why; the run goes on afterwards."""

    def stopped(number: int, *more: str) -> tuple[int, str]:
        def work() -> int:
            from sciml.cli.launch import launch

            sys.stderr = open(outputs.with_suffix(".log"), "w")  # noqa: SIM115
            argv = [*TOY[4:], "track.mode=disabled", f"outputs={outputs}", "+pinn.nap=0.02", "trainer.max_steps=5000"]
            code = launch([*argv, *more[1:]], multirun=bool(more), config_dir=TOY[1], trust=["toy_package"])
            sys.stderr.flush()
            return code

        pid = child(work)
        end = time.monotonic() + 60
        while not any('"step": 5' in p.read_text() for p in outputs.rglob("metrics.jsonl")):
            assert time.monotonic() < end
            time.sleep(0.02)
        os.kill(pid, number)
        return wait(pid), outputs.with_suffix(".log").read_text()

    code, said = stopped(signal.SIGINT)
    assert code == 130
    folder = next(outputs.rglob("last.ckpt")).parent
    assert f"stopped by signal 2; go on with: sciml resume {folder}\n" in said
    for path in outputs.rglob("metrics.jsonl"):
        path.unlink()
    code, said = stopped(signal.SIGTERM, "-m", "seed=0,1")
    assert code == 143
    assert not list(outputs.rglob("*-seed1"))


def test_ctrl_c_while_composing(sciml: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sciml.cli.jobs.check_jobs", interrupted)
    ended = sciml("train", "-m", "+experiment=daw2023r3/convection")
    assert (ended.code, ended.err) == (130, "error: interrupted\n")


def test_second_ctrl_c(train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sciml.run._run", interrupted)
    ended = train(*TOY)
    assert ended.code == 130
    assert ended.err.startswith("interrupted; go on from the last checkpoint with: sciml resume ")


def test_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "sciml.cli", "list", "experimnts"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no list of experimnts; did you mean experiments?\n")


def test_what_an_experiment_set_for_another_choice_is_said(train: Callable[..., Any]) -> None:
    small = ("pinn.n_points=10", "pinn.n_val=10", "pinn.problem.grid.x=16", "pinn.problem.grid.t=5", "network.depth=1")
    case = ("+experiment=daw2023r3/convection", "trainer.max_steps=1", *small)
    said = "sets for optimizer/adam.yaml; optimizer/soap.yaml has optimizer.lr=0.003"
    ended = train(*case, "optimizer=soap")
    assert f"optimizer.lr=0.001 stays, which experiment/daw2023r3/convection.yaml {said}" in ended.err
    assert "stays" not in train(*case, "optimizer=soap", "optimizer.lr=0.002").err
    assert "stays" not in train(*case, "optimizer=adam").err
