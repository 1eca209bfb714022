"""A search from its overrides to its report, with runs of a method whose held-out loss is known."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import USER, child, wait

from sciml.cli.request import plain
from sciml.cli.search import search
from sciml.cli.search_space import filled, parse, plan
from sciml.cli.search_worker import HOPELESS, main
from sciml.config import digest
from sciml.errors import UsageError
from sciml.search import Study
from sciml.space import Parameter

EXPERIMENT = """# @package _global_
defaults:
  - _self_
trainer: {max_steps: 4}
checkpoint: {every_seconds: 0}
pinn: {_target_: quadratic_package.Quadratic, x: 0.0, rate: 0.01, kind: a, nap: 0.0}
"""
X = "pinn.x=interval(-1, 1)"
RATE = "pinn.rate=tag(log, interval(1e-4, 1))"


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    """A user's folder of configs."""
    folder = tmp_path / "mine"
    (folder / "experiment" / "mine").mkdir(parents=True)
    (folder / "experiment" / "mine" / "quadratic.yaml").write_text(EXPERIMENT)
    return folder


@pytest.fixture
def look(
    configs: Path, outputs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Search; returns exit code, output and messages."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(USER)])
    monkeypatch.setenv("SCIML_TRUST", "")
    monkeypatch.setenv("PYTHONPATH", str(USER))
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("COLUMNS", "200")

    def call(trials: int, *overrides: str, **options: Any) -> tuple[int, str, str]:
        capsys.readouterr()
        given = {"config_dir": str(configs), "trust": ["quadratic_package"], "outputs": str(outputs), **options}
        code = search(["+experiment=mine/quadratic", *overrides], trials, **given)
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return call


def studies(outputs: Path) -> list[Study]:
    return [Study(file.parent) for file in sorted(outputs.glob(".sweeps/*/study.json"), key=os.path.getmtime)]


def rows(outputs: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: json.loads(path.read_text()) for path in outputs.glob("mine/**/row.json")}


# The space.


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a.b=interval(1,10)", Parameter("a.b", "real", low=1.0, high=10.0)),
        ("a.b=tag(log, interval(1e-4, 1e-1))", Parameter("a.b", "real", low=1e-4, high=0.1, log=True)),
        ("+a.b=int(interval(1,10))", Parameter("+a.b", "whole", low=1, high=9, step=1)),
        ("a.b=tag(log, int(interval(1,100)))", Parameter("a.b", "whole", low=1, high=99, step=1, log=True)),
        ("a.b=range(2,6)", Parameter("a.b", "whole", low=2, high=5, step=1)),
        ("a.b=range(6,1,-2)", Parameter("a.b", "whole", low=2, high=6, step=2)),
        ("a.b=tag(log, range(1,9))", Parameter("a.b", "whole", low=1, high=8, step=1, log=True)),
        ("a.b=range(0.1,0.5,0.1)", Parameter("a.b", "real", low=0.1, high=0.4, step=0.1)),
        ("a.b=float(range(1,3))", Parameter("a.b", "real", low=1.0, high=2.0, step=1.0)),
        ("a.b=choice(32,64)", Parameter("a.b", "choice", ("32", "64"))),
        ("a.b=x,y,x", Parameter("a.b", "choice", ("x", "y"))),
        ("a.b=[1,2],[3]", Parameter("a.b", "choice", ("[1,2]", "[3]"))),
        ("a.b='x y',\"z\"", Parameter("a.b", "choice", ("'x y'", '"z"'))),
        ("a.b=shuffle(sort(3,1,2))", Parameter("a.b", "choice", ("1", "2", "3"))),
        ("pinn/collocation=choice(r3,fixed)", Parameter("pinn/collocation", "choice", ("r3", "fixed"), group=True)),
        (
            "pinn/collocation=glob(r*,exclude=ra*)",
            Parameter("pinn/collocation", "choice", ("r3",), group=True),
        ),
    ],
)
def test_the_space_is_what_hydra_would_enumerate(override: str, expected: Parameter) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from sciml.cli.origin import hydra_session

    with hydra_session():
        parsed = parse(["seed=3", override, "trainer.max_steps=2", "outputs=o"])
    assert parsed.space == (expected,)
    assert (parsed.fixed, parsed.seeds, parsed.outputs) == (("trainer.max_steps=2",), (3,), "o")
    theirs = OverridesParser.create().parse_override(override)
    if theirs.is_discrete_sweep() and "glob" not in override:
        mine = [expected.value(i) for i in range(int(expected.size))]
        if expected.kind == "choice":
            assert set(mine) == set(theirs.sweep_string_iterator())
        else:
            assert mine == pytest.approx(sorted(map(float, theirs.sweep_string_iterator())))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("a=interval(2,1)", "a=interval(2,1): an interval goes from a lower to a higher finite number"),
        ("a=interval(0,inf)", "a=interval(0,inf): an interval goes from a lower to a higher finite number"),
        ("a=tag(log,interval(0,1))", "a=tag(log,interval(0,1)): a logarithmic scale begins above 0, not at 0"),
        ("a=tag(log,range(0,9))", "a=tag(log,range(0,9)): a logarithmic scale begins above 0, not at 0"),
        ("a=tag(log,range(1,9,2))", "a=tag(log,range(1,9,2)): steps are even, a log scale is not"),
        ("a=tag(log,choice(1,2))", "a=tag(log,choice(1,2)): a choice has no scale"),
        ("a=tag(lgo,interval(1,2))", "a=tag(lgo,interval(1,2)): the tag lgo means nothing to a search"),
        ("a=range(1,5,0)", "a=range(1,5,0): "),
        ("a=range(5,1)", "a=range(5,1): this range is empty"),
        ("a=str(range(1,3))", "a=str(range(1,3)): Range can only be cast to int or float"),
        ("pinn/collocation=range(1,3)", "pinn/collocation=range(1,3): pinn/collocation is a config group"),
        ("+experiment=a,b", "+experiment=a,b: experiment cannot be searched; give it one value"),
        ("track.mode=offline,disabled", "track.mode=offline,disabled: track.mode cannot be searched"),
        ("hydra/launcher=joblib", "hydra/launcher=joblib: a search has its own sweeper and launcher"),
        ("seed=interval(0,1)", "seed=interval(0,1): seeds are whole numbers"),
        ("b=1", "a search needs a search space, for instance 'optimizer.lr=tag(log, interval(1e-4, 1e-1))'"),
    ],
)
def test_an_override_that_is_no_good_is_named(override: str, message: str) -> None:
    from sciml.cli.origin import hydra_session

    with hydra_session(), pytest.raises(UsageError) as caught:
        parse([override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+pinn.x=interval(0,1)"], "error: pinn.x is set already: change it without +"),
        (["pinn.y=interval(0,1)"], "error: there is no setting pinn.y; did you mean pinn.x"),
        (["+pinn.y=interval(0,1)"], "error: there is no setting pinn.y"),
        (["pinn.kind=range(1,3)"], "error: bad value for pinn.kind: 1 is not text"),
        (["pinn.x=0,b"], "error: bad value for pinn.x: 'b' is not a number"),
        (["pinn.x=interval(0,1)", "pinn.x=interval(0,1)"], "pinn.x is in the search space already"),
        (["pinn.x=interval(0,1"], "error: cannot read the override pinn.x=interval(0,1"),
        ([], "error: a search needs a search space"),
    ],
)
def test_mistakes_leave_nothing_behind(
    look: Callable[..., Any], outputs: Path, overrides: list[str], message: str
) -> None:
    code, out, err = look(2, *overrides)
    assert (code, out) == (2, "")
    assert message in err
    assert not outputs.exists()


def test_options_that_do_not_go_together(look: Callable[..., Any], outputs: Path) -> None:
    assert look(2, X, direction="up")[::2] == (2, "error: there is no direction up: choose minimize or maximize\n")
    assert "the held-out loss is minimised" in look(2, X, direction="maximize")[2]
    assert "there is no launcher slrum; did you mean slurm?" in look(1, X, launcher="slrum")[2]
    assert not outputs.exists()


def test_options_of_a_grid_are_refused(sciml: Callable[..., Any]) -> None:
    for option in (("--dry-run",), ("--resume", "x"), ("--force",), ("--array-parallel", "2")):
        ended = sciml("sweep", "--optuna", "2", *option)
        assert ended.code == 2
        assert ended.err.startswith(f"error: {option[0]} cannot be used with --optuna")


def test_a_frozen_config_is_what_hydra_composes() -> None:
    from hydra import compose

    from sciml.cli.origin import hydra_session

    given = ["+experiment=daw2023r3/convection", "pinn/collocation=choice(fixed,r3)", "network.width=range(8,33,8)"]
    given += ["optimizer.betas=[0.9,0.99],[0.8,0.9]", "+optimizer.weight_decay=tag(log,interval(1e-6,1e-2))"]
    spec, frozen, _ = plan(given, objective=None, direction="minimize", config_dir=None, trust=())
    assert [item.groups for item in frozen] == [{"pinn/collocation": "fixed"}, {"pinn/collocation": "r3"}]
    values = [p for p in spec.space if not p.group]
    point: dict[str, Any] = {"network.width": 16, "optimizer.betas": "[0.8,0.9]", "optimizer.weight_decay": 1.5e-5}
    found = []
    with hydra_session():
        for item, option in zip(frozen, ("fixed", "r3"), strict=True):
            overrides = [f"{p.key}={p.text(point[p.name])}" for p in values]
            theirs = compose("config", [given[0], f"pinn/collocation={option}", *overrides])
            assert plain(filled(item, values, point)) == plain(theirs)
            found.append(digest(plain(theirs)[0]))
    assert found[0] != found[1]


# The runs.


def test_finds_the_optimum_of_the_held_out_loss_and_says_how_to_repeat_it(
    look: Callable[..., Any], outputs: Path
) -> None:
    code, out, err = look(15, X, RATE)
    assert code == 0, err
    (study,) = studies(outputs)
    trials = study.trials()
    assert [trial.state for trial in trials] == ["done"] * 15
    best = min(trials, key=lambda trial: trial.value or 0.0)
    assert best.value is not None
    # As good as this are pi sqrt(2) 0.05 / 8 = 2.8 % of [-1, 1] x [-4, 0]: a third of random searches get there.
    assert best.value - 0.25 < 0.05  # at the last of four steps the loss is 1/4 above the quadratic
    late = sorted(trial.value or 0.0 for trial in trials[5:])
    early = sorted(trial.value or 0.0 for trial in trials[:5])
    assert late[5] < early[2]
    for trial in trials:
        x, rate = float(trial.params["pinn.x"]), float(trial.params["pinn.rate"])
        expected = (x - 0.3) ** 2 + (math.log10(rate) + 2) ** 2 / 2 + 0.25
        assert trial.value == pytest.approx(expected, rel=1e-5)

    lines = out.splitlines()
    assert lines[1].split() == ["rank", "trial", "objective", "x", "rate", "state", "s", "run", "folder"]
    assert lines[2].split()[:2] == ["1", str(best.number)]
    assert len(lines) == 18
    command = shlex.split(lines[-1].removeprefix("best: "))
    assert command[:2] == ["sciml", "train"]
    assert f"pinn.x={best.params['pinn.x']}" in command
    assert "no importance of the parameters: 15 of 20 trials are done" in err
    assert "which the test measures" not in err

    table = list(csv.DictReader((study.folder / "trials.csv").read_text().splitlines()))
    record = json.loads((study.folder / "trials.json").read_text())
    assert [row["rank"] for row in table] == [str(i) for i in range(1, 16)]
    assert float(table[0]["objective"]) == record["trials"][0]["objective"] == best.value
    assert table[0]["pinn.x"] == record["trials"][0]["parameters"]["pinn.x"] == best.params["pinn.x"]
    assert (study.folder / "history.png").read_bytes().startswith(b"\x89PNG")

    # The same command costs nothing, and what the best command makes is the best trial's run.
    before = {path: path.stat().st_mtime_ns for path in outputs.rglob("row.json")}
    assert look(15, X, RATE)[0] == 0
    from typer.testing import CliRunner

    from sciml.cli.main import app

    again = CliRunner().invoke(app, command[1:])
    assert "found, not repeated" in again.output
    assert {path: path.stat().st_mtime_ns for path in outputs.rglob("row.json")} == before


def test_a_metric_of_the_test_is_an_objective_only_on_demand(look: Callable[..., Any], outputs: Path) -> None:
    code, out, err = look(3, "pinn.x=-0.5,0.3,1", objective="distance", direction="maximize")
    assert code == 0
    assert err.count("chosen by distance, which the test measures") == 1
    assert "pinn.x=1 " in out.splitlines()[-1]
    code, out, err = look(3, "pinn.x=-0.5,0.3,1")
    assert "; another objective than in search-mine-quadratic-" in err
    assert "pinn.x=0.3 " in out.splitlines()[-1]
    first, second = studies(outputs)
    assert {t.runs[0] for t in first.trials()} == {t.runs[0] for t in second.trials()}  # found, not repeated
    code, _, err = look(3, "pinn.x=-0.5,0.3,1", objective="distanc")
    assert code == 2
    assert "no metric distanc; did you mean distance, best/distance?" in err


def test_the_value_is_the_mean_over_the_seeds(look: Callable[..., Any], outputs: Path) -> None:
    code, out, _ = look(2, "pinn.kind=a,b", "seed=2,6")
    assert code == 0
    (study,) = studies(outputs)
    for trial in study.trials():
        base = 0.09 + 0.25 + {"a": 0.0, "b": 0.1}[trial.params["pinn.kind"]]
        assert trial.values == pytest.approx([base + 0.02, base + 0.06])
        assert trial.value == pytest.approx(base + 0.04)
    assert len(rows(outputs)) == 4
    assert " -m " in out.splitlines()[-1]
    assert " seed=2,6 " in out.splitlines()[-1]


def test_trials_that_fail_say_why_and_the_search_goes_on(look: Callable[..., Any], outputs: Path) -> None:
    code, out, err = look(4, "pinn.x=-1,0,0.5,1", "+pinn.bad_above=0.2")
    assert code == 0
    (study,) = studies(outputs)
    failed = {trial.params["pinn.x"]: trial.error for trial in study.trials() if trial.state == "failed"}
    assert failed == dict.fromkeys(("0.5", "1"), "loss term 'weight' became nan at step 1")
    assert err.count(": loss term 'weight' became nan at step 1") == 2
    assert [line.split()[0] for line in out.splitlines()[2:4]] == ["1", "2"]
    assert out.count("failed") == 2
    assert look(4, "pinn.x=-1,0,0.5,1", "+pinn.bad_above=0.2")[0] == 0  # they are not tried again

    code, _, err = look(9, X, "+pinn.bad_above=-2")
    assert code == 1
    assert f"{HOPELESS} trials in a row have failed and none is done; the last: loss term" in err
    assert len(studies(outputs)[1].trials()) == HOPELESS


def test_an_edited_config_changes_no_trial_of_a_search_that_is_there(
    look: Callable[..., Any], configs: Path, outputs: Path
) -> None:
    assert look(1, X)[0] == 0
    file = configs / "experiment" / "mine" / "quadratic.yaml"
    file.write_text(EXPERIMENT.replace("max_steps: 4", "max_steps: 3"))
    (study,) = studies(outputs)
    assert main([str(study.folder), "--trials=2", "--trust=quadratic_package"]) == 0
    assert [row["cost"]["steps"] for row in rows(outputs).values()] == [4, 4]
    code, _, err = look(1, X)
    assert code == 0
    assert f"; another config than in {study.folder.name}" in err
    assert sorted(row["cost"]["steps"] for row in rows(outputs).values()) == [3, 4, 4]


def test_a_damaged_journal_costs_no_run(look: Callable[..., Any], outputs: Path) -> None:
    assert look(3, X)[0] == 0
    (study,) = studies(outputs)
    before = [(trial.params, trial.value) for trial in study.trials()]
    text = study.journal.read_text()
    study.journal.write_text(text[:300] + "#" + text[300:])
    code, out, err = look(3, X)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {study.journal} is damaged: line ")
    assert err.count("\n") == 1
    study.journal.rename(study.journal.with_suffix(".bad"))
    started = {name: row["started"] for name, row in rows(outputs).items()}
    assert look(3, X)[0] == 0
    assert [(trial.params, trial.value) for trial in studies(outputs)[0].trials()] == before
    assert {name: row["started"] for name, row in rows(outputs).items()} == started


# Workers that die.


def worker(study: Study, total: int, *options: str) -> int:
    return child(lambda: main([str(study.folder), f"--trials={total}", "--trust=quadratic_package", *options]))


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def step(study: Study, number: int) -> int:
    trials = study.trials()
    if len(trials) <= number or not trials[number].runs:
        return 0
    metrics = study.outputs / trials[number].runs[0] / "metrics.jsonl"
    lines = metrics.read_text().splitlines() if metrics.exists() else []
    return len(lines)


def test_killed_and_stopped_workers_lose_and_repeat_nothing(
    look: Callable[..., Any], outputs: Path, tmp_path: Path
) -> None:
    slow = ("trainer.max_steps=12", "pinn.nap=0.02")
    assert look(0, X, RATE, *slow)[0] == 0
    (study,) = studies(outputs)
    pid = worker(study, 4)
    wait_for(lambda: step(study, 1) > 5)
    os.kill(pid, signal.SIGKILL)
    assert wait(pid) == -signal.SIGKILL
    assert [trial.state for trial in study.trials(probe=True)] == ["done", "left"]
    first = rows(outputs)

    pid = worker(study, 4)
    wait_for(lambda: step(study, 2) > 5)
    os.kill(pid, signal.SIGUSR2)
    assert wait(pid) == 75
    assert [trial.state for trial in study.trials(probe=True)] == ["done", "done", "left"]
    for name, row in first.items():
        assert rows(outputs)[name] == row

    code, out, err = look(4, X, RATE, *slow)
    assert code == 0
    assert "3 trials are there, 1 of them left by a worker that is gone" in err
    assert len(rows(outputs)) == 4
    for row in rows(outputs).values():
        assert row["cost"]["steps"] == 12
    for trial in study.trials():  # gone on with, not begun again: every step was logged once
        lines = (outputs / trial.runs[0] / "metrics.jsonl").read_text().splitlines()
        steps = [record["step"] for record in map(json.loads, lines) if "val/loss" in record and "stage" not in record]
        assert steps == list(range(1, 13))
    undisturbed = tmp_path / "undisturbed"
    assert look(4, X, RATE, slow[0], outputs=str(undisturbed))[0] == 0
    mine, theirs = ([(t.params, t.value) for t in s.trials()] for s in (study, studies(undisturbed)[0]))
    assert mine == theirs
    assert out.count("done") == 4


def test_two_workers_share_the_trials_and_one_takes_up_what_the_other_leaves(
    look: Callable[..., Any], outputs: Path
) -> None:
    assert look(0, X, "pinn.nap=0.05")[0] == 0
    (study,) = studies(outputs)
    one, two = worker(study, 6, "--wait"), worker(study, 6, "--wait")
    wait_for(lambda: sum(trial.state == "running" for trial in study.trials()) == 2)
    wait_for(lambda: any(trial.state == "done" for trial in study.trials()))
    os.kill(two, signal.SIGKILL)
    assert wait(two) == -signal.SIGKILL
    assert wait(one) == 0
    trials = study.trials()
    assert [trial.state for trial in trials] == ["done"] * 6
    assert len({trial.runs[0] for trial in trials}) == len(rows(outputs)) == 6
    assert (study.folder / "trials.csv").exists()


def test_workers_side_by_side_and_a_view_of_them(
    look: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sciml.launcher.local import Local, Process, View

    def run(self: Local, processes: list[Process], view: View) -> None:
        for process in processes:
            assert list(process.command[1:3]) == ["-m", "sciml.cli.search_worker"]
            assert "--wait" in process.command
            assert main(process.command[3:]) == 0
            view.tick()
        processes[1].state, processes[1].error = "failed", "killed by SIGKILL"

    monkeypatch.setattr(Local, "run", run)
    monkeypatch.setattr("sciml.cli.search_watch.LOOK", 0.0)
    monkeypatch.setattr("sciml.cli.search_watch.PLAIN_EVERY", 0.0)
    code, out, err = look(2, "pinn.x=0.3,0,1", jobs=4)
    assert code == 0  # there are as many trials as were asked for, whoever died
    assert "error: a worker ended: killed by SIGKILL" in err
    assert "2 of 2 trials, best 0.34 in trial 0" in err
    assert out.count("done") == 2

    from rich.console import Console

    from sciml.cli.search_watch import Live

    (study,) = studies(outputs)
    taken = study.take(3)
    assert taken is not None
    study.note_run(taken.number, ["mine/quadratic/x"])
    drawn = io.StringIO()
    live = Live(study, 3, Console(file=drawn, force_terminal=True))
    live.tick()
    live.close()
    taken.lock.close()
    assert "trial 2 step 0" in drawn.getvalue()
    assert "start  trial 2: pinn.x=" in drawn.getvalue()


def test_workers_are_sent_once_and_know_what_to_do(
    look: Callable[..., Any], outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sciml.launcher.slurm import Slurm
    from sciml.scheduler import JobState

    sent: list[list[str]] = []

    def launch(self: Slurm, commands: list[list[str]], folder: Path, name: str) -> list[str]:
        sent.extend(commands)
        return [f"7_{i}" for i in range(len(commands))]

    state = "PENDING"
    monkeypatch.setattr(Slurm, "check", lambda self: None)
    monkeypatch.setattr(Slurm, "launch", launch)
    monkeypatch.setattr("sciml.scheduler.states", lambda ids: {i: JobState(i, state) for i in ids})
    code, out, err = look(3, X, launcher="slurm", jobs=2)
    assert (code, out) == (0, "")
    assert "2 workers sent: 7_0, 7_1; the same command shows how far they are" in err
    code, _, err = look(3, X, launcher="slurm", jobs=2)
    assert "its workers are queued or running: 7_0, 7_1" in err
    assert len(sent) == 2
    assert sent[0][:3] == [sys.executable, "-m", "sciml.cli.search_worker"]
    assert main(sent[0][3:]) == 0
    assert main(sent[1][3:]) == 0  # nothing is left to do
    state = "COMPLETED"
    code, out, _ = look(3, X, launcher="slurm", jobs=2)
    assert code == 0
    assert out.count("done") == 3
    assert len(sent) == 2
    look(4, X, launcher="slurm", jobs=2)
    assert len(sent) == 3  # no more workers than trials
