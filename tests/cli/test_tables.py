"""``sciml table``: composing, running what is missing, stopping, and what is printed and returned.

Most tests put a small program in the place of ``python -m sciml.cli train``; the last ones run the real one.
"""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import helpers
import pytest
import yaml

from sciml.cli import cells as processes
from sciml.cli import watch
from sciml.cli.plan import planned
from sciml.cli.tables import find_table, make_table
from sciml.config import digest
from sciml.datafile import record_of
from sciml.folder import RunFolder
from sciml.launcher import local

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

TABLE = {
    "title": "How long an operator is trained",
    "paper": "mine2020x",
    "experiment": "baseline/heat",
    "metric": {"key": "rel_l2", "label": "relative L2 error", "better": "lower", "definition": "as in the test"},
    "source": {"text": "Nobody 2020", "where": "Table 1", "known": "second-hand"},
    "tolerance": {"relative": 0.1},
    "budgets": {
        "paper": {"overrides": [], "seeds": [0]},
        "desk": {"overrides": ["trainer.max_steps=20"], "seeds": [0, 1]},
    },
    "columns": [{"name": "heat"}],
    "rows": [
        {"name": "untrained", "kind": "floor", "overrides": ["trainer.max_steps=1"]},
        {"name": "fast", "overrides": ["optimizer.lr=0.05"], "reported": [{"mean": 0.1, "std": 0.01}]},
        {"name": "slow", "overrides": ["optimizer.lr=0.01"], "reported": [{"mean": 0.2}]},
        {"name": "trained", "kind": "ceiling", "overrides": ["trainer.max_steps=50"]},
    ],
}
# In the place of a run: its folder is where its output goes. A file named as the seed in the folder
# "plan" says what it does; each start is noted.
STUB = """#!{python} -S
import json, os, signal, sys, time
from pathlib import Path
folder = Path(os.readlink("/proc/self/fd/1")).parent
given = sys.argv[sys.argv.index("--") + 1:]
seed = int(next(a for a in given if a.startswith("seed=")).partition("=")[2])
plan = Path("{plan}")
with open(plan / "started", "a") as file:
    file.write(" ".join(sys.argv[1:]) + " OMP=" + os.environ["OMP_NUM_THREADS"] + chr(10))
what = next((p.read_text() for p in plan.glob("*") if p.name in given), "fine")
def stopped(number, frame):
    (plan / "signals").open("a").write(str(number) + chr(10))
    sys.exit(128 + number)
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, stopped)
if what == "fail":
    print("error: the loss is nan" + chr(10) + "  full trace: somewhere")
    sys.exit(1)
if what == "vanish":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "silent":
    sys.exit(3)
if what == "owned" and not (plan / "freed").exists():
    (plan / "freed").touch()
    print("error: " + str(folder) + " is in use by process 7 on there; wait for it or stop it")
    sys.exit(1)
if what == "hang":
    (folder / "status.json").write_text(json.dumps(dict(state="running", step=7)))
    (plan / "hanging").touch()
    time.sleep(60)
value = 0.5 if "optimizer.lr=0.01" in given else 0.25
name, _, _ = folder.name.partition("-")
metrics = dict(other=1.0) if what == "other" else dict(rel_l2=value + seed / 100)
row = dict(experiment="baseline/heat", family="operator", hash=name, seed=seed, metrics=metrics, wall_seconds=1.5)
(folder / "part").write_text(json.dumps(row))
os.replace(folder / "part", folder / "row.json")
"""


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name in ("table/mine2020x", "paper"):
        (tmp_path / "conf" / name).mkdir(parents=True)
    (tmp_path / "conf/paper/mine2020x.yaml").write_text("title: Mine\nauthors: N. Body\nyear: 2020\nvenue: null\n")
    (tmp_path / "conf/table/mine2020x/heat.yaml").write_text(yaml.safe_dump(TABLE, sort_keys=False))
    return tmp_path / "conf"


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plan = tmp_path / "plan"
    plan.mkdir()
    program = tmp_path / "stub"
    program.write_text(STUB.format(python=sys.executable, plan=plan))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(local, "POLL", 0.01)
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    return plan


def started(plan: Path) -> list[str]:
    file = plan / "started"
    return file.read_text().splitlines() if file.exists() else []


@contextmanager
def stopped_by(number: int, plan: Path, after: float = 1.2):
    """Send this process a signal a moment after the run that hangs has filed its step."""

    def send() -> None:
        _until((plan / "hanging").exists)
        time.sleep(after)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


@pytest.fixture
def table(conf: Path, tmp_path: Path):
    def call(*overrides, budget="desk", run=True, jobs=2, form="json", name="mine2020x/heat", **options):
        return make_table(name, overrides, budget, run, jobs, form, str(tmp_path / "out"), str(conf), [], **options)

    return call


def test_all_missing_runs_are_run_once_seed_by_seed(table, stub, capsys, tmp_path):
    assert table(jobs=1) == 0
    out, err = capsys.readouterr()
    found = {cell["row"]: cell for cell in json.loads(out)}
    assert found["fast"]["values"] == [0.25, 0.26]
    assert found["slow"]["mean"] == pytest.approx(0.505)
    assert (found["untrained"]["seeds"], found["fast"]["verdict"]) == ([0], "not comparable")
    lines = started(stub)
    order = [(re.search(r"lr=([\d.]+)|max_steps=(?!20)", line)[1], re.search(r"seed=(\d)", line)[1]) for line in lines]
    assert order == [(None, "0"), ("0.05", "0"), ("0.01", "0"), (None, "0"), ("0.05", "1"), ("0.01", "1")]
    assert all(line.startswith("-m sciml.cli train --config-dir ") and line.endswith(" OMP=1") for line in lines)
    assert (
        f" -- +experiment=baseline/heat trainer.max_steps=20 optimizer.lr=0.05 seed=0 outputs={tmp_path}/out"
        in lines[1]
    )
    assert "6 runs to do, 0 found; 1 at a time" in err
    assert "start  fast seed 0\n" in err
    assert "done   slow seed 1: relative L2 error 0.510 (" in err
    assert table() == 0  # nothing is run again
    assert len(started(stub)) == 6
    assert capsys.readouterr().err == ""


def test_a_table_that_has_changed_goes_to_wandb_and_one_that_has_not_does_not(table, stub, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for _ in range(2):
        assert table() == 0
        [logged] = (tmp_path / "out/.tables/mine2020x/heat").rglob("*.table.json")
        content = json.loads(logged.read_text())
        data = [dict(zip(content["columns"], line, strict=True)) for line in content["data"]]
        assert [line["row"] for line in data] == [row["name"] for row in TABLE["rows"]]
        assert all(line["mean"] is not None for line in data)


def test_no_run_reads_and_never_starts_a_process(table, stub, capsys):
    assert table(run=False) == 0
    cells = json.loads(capsys.readouterr().out)
    assert {cell["verdict"] for cell in cells} == {"missing"}
    assert started(stub) == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("fail", "the loss is nan"),
        ("vanish", "killed by SIGKILL"),
        ("silent", "ended with exit code 3; see {folder}/run.log"),
    ],
)
def test_a_failing_run_is_named_and_its_cell_is_missing(table, stub, capsys, what, message):
    (stub / "optimizer.lr=0.01").write_text(what)
    assert table(form="md") == 1
    out, err = capsys.readouterr()
    line = next(line for line in err.splitlines() if line.startswith("error: slow seed 1 failed"))
    log = err.splitlines()[err.splitlines().index(line) + 1].removeprefix("  its output: ")
    assert line == f"error: slow seed 1 failed: {message.format(folder=Path(log).parent)}"
    assert Path(log).is_file()
    assert "| slow | 0.2 | - | 0 of 2 | - | missing |" in out
    assert "| fast | 0.1 ± 0.01 | 0.2550 ± 0.0071 | 2 | 1.5 | not comparable |" in out
    (stub / "optimizer.lr=0.01").unlink()
    assert table() == 0
    assert len(started(stub)) == 6 + 2


def test_a_run_that_another_process_owns_is_waited_for(table, stub, capsys, monkeypatch):
    monkeypatch.setattr(processes, "RETRY", 0.2)
    (stub / "optimizer.lr=0.01").write_text("owned")
    assert table(jobs=1) == 0
    assert "wait   slow seed 0: " in capsys.readouterr().err
    assert len(started(stub)) == 7


def test_a_row_that_another_process_files_meanwhile_is_taken(table, stub, capsys, monkeypatch, conf, tmp_path):
    (stub / "optimizer.lr=0.01").write_text("owned")
    found = find_table("mine2020x/heat", str(conf))
    slow = planned(found, "desk", (), tmp_path / "out", str(conf))[2].folders[0]

    def other() -> None:
        while not (stub / "freed").exists():
            time.sleep(0.01)
        name = slow.path.name.partition("-")[0]
        row = {"experiment": "e", "family": "f", "hash": name, "seed": 0, "metrics": {"rel_l2": 0.125}}
        slow.write_row(row)

    thread = threading.Thread(target=other)
    thread.start()
    assert table() == 0
    thread.join()
    cells = {cell["row"]: cell for cell in json.loads(capsys.readouterr().out)}
    assert cells["slow"]["values"][0] == 0.125
    assert len([line for line in started(stub) if "lr=0.01" in line and "seed=0" in line]) == 1


@pytest.mark.parametrize(
    ("number", "passed", "code"), [("SIGINT", "SIGINT", 130), ("SIGTERM", "SIGTERM", 143), ("SIGHUP", "SIGTERM", 129)]
)
def test_a_signal_reaches_the_runs_once_and_the_table_is_printed(table, stub, capsys, number, passed, code):
    (stub / "optimizer.lr=0.05").write_text("hang")

    with stopped_by(getattr(signal, number), stub, after=0.1):
        assert table(jobs=1) == code
    out, err = capsys.readouterr()
    assert (stub / "signals").read_text() == f"{int(getattr(signal, passed))}\n"
    assert len(started(stub)) == 2  # nothing was started after it
    assert "stopped; the same command goes on from here" in err
    assert [cell["verdict"] for cell in json.loads(out)] == ["nothing reported", "missing", "missing", "missing"]
    (stub / "optimizer.lr=0.05").unlink()
    assert table() == 0
    assert len(started(stub)) == 2 + 5


def test_progress_is_told_now_and_then(table, stub, capsys, monkeypatch):
    monkeypatch.setattr(watch, "PLAIN_EVERY", 0.1)
    (stub / "optimizer.lr=0.05").write_text("hang")
    with stopped_by(signal.SIGTERM, stub):
        assert table(jobs=1) == 143
    err = capsys.readouterr().err
    assert "       fast seed 0 step 7/20, 1 of 6 runs done, about " in err


def test_a_terminal_gets_a_live_view(table, stub, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    (stub / "optimizer.lr=0.05").write_text("hang")
    with stopped_by(signal.SIGTERM, stub):
        assert table(jobs=1) == 143
    err = capsys.readouterr().err
    assert "step 7/20" in err
    assert "1 of 6 runs done" in err
    assert "stopped fast seed 0: nothing saved since it started" in err
    assert "[bold]" not in err


def test_a_metric_that_no_run_files_stops_all_of_it(table, stub, capsys):
    (stub / "trainer.max_steps=1").write_text("other")
    (stub / "optimizer.lr=0.05").write_text("hang")
    before = time.monotonic()
    assert table() == 2
    assert (
        "table/mine2020x/heat.yaml: row 'untrained', column 'heat': baseline/heat files no metric rel_l2; it has other"
        in (capsys.readouterr().err)
    )
    assert time.monotonic() - before < 30  # the run that hangs for a minute was stopped
    assert table(run=False) == 2


def test_a_damaged_row_is_named_left_out_and_not_run_again(table, stub, capsys, conf, tmp_path):
    table()
    found = find_table("mine2020x/heat", str(conf))
    fast = planned(found, "desk", (), tmp_path / "out", str(conf))[1].folders[1]
    fast.row.write_text("{")
    capsys.readouterr()
    for run in (True, False):
        assert table(run=run) == 1
        out, err = capsys.readouterr()
        assert f"error: left out: {fast.row} is damaged" in err
        assert json.loads(out)[1]["values"] == [0.25]
    assert len(started(stub)) == 6


def test_a_data_file_that_has_changed_since_is_named(table, stub, capsys, tmp_path):
    data = tmp_path / "mine.npz"
    data.write_bytes(b"one")
    table()
    (path, *_) = sorted((tmp_path / "out").rglob("row.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": {str(data): record_of(data)}}))
    capsys.readouterr()
    for text, said in ((b"one", False), (b"another", True)):
        data.write_bytes(text)
        assert table() == 0
        assert (f"{data} has changed since baseline/heat/{path.parent.name} read it" in capsys.readouterr().err) is said
    assert len(started(stub)) == 6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"name": "mine2020x/heta"}, "there is no table mine2020x/heta; did you mean mine2020x/heat?"),
        ({"budget": "desc"}, "there is no budget desc; did you mean desk?\n  available: paper, desk"),
        ({"form": "jsn"}, "there is no format jsn; did you mean json?\n  available: text, md, json, csv"),
        ({"overrides": ["seed=3"]}, "seed cannot be overridden here: the seeds of a table come with its budget"),
        ({"overrides": ["outputs=x"]}, "outputs cannot be overridden here: say --outputs FOLDER"),
        ({"overrides": ["+experiment=x"]}, "experiment cannot be overridden here: the experiments of a table come"),
        ({"overrides": ["optimizer.rl=1"]}, "there is no setting optimizer.rl; did you mean optimizer.lr"),
        ({"overrides": ["optimizer.lr=1,2"]}, "several values for 'optimizer.lr=1,2'; a cell has one"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_runs(table, stub, capsys, call, message):
    call = dict(call)
    assert table(*call.pop("overrides", ()), **call) == 2
    out, err = capsys.readouterr()
    assert f"error: {message}" in err
    assert out == ""
    assert started(stub) == []


def test_a_cell_that_does_not_compose_is_refused_with_file_and_cell(table, stub, capsys, conf):
    tree = json.loads(json.dumps(TABLE))
    tree["rows"][2]["overrides"] = ["optimizer.rl=0.1"]
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree))
    for extra in ((), ("track.mode=disabled",)):
        assert table(*extra) == 2
        message = "error: table/mine2020x/heat.yaml: row 'slow', column 'heat': there is no setting optimizer.rl"
        assert message in capsys.readouterr().err
    (conf / "experiment").mkdir()
    (conf / "experiment/torn.yaml").write_text("defaults: [")
    tree["rows"][2]["experiment"] = "torn"
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree))
    assert table() == 2
    message = f"error: table/mine2020x/heat.yaml: row 'slow', column 'heat': {conf}/experiment/torn.yaml"
    assert message in capsys.readouterr().err
    tree["rows"][2]["experiment"] = "baseline/heet"
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree))
    assert table() == 2
    message = "row 'slow', column 'heat': there is no experiment baseline/heet; did you mean baseline/heat"
    assert message in capsys.readouterr().err
    assert make_table("a/b", [], "desk", True, 1, "text", "out", str(conf / "none"), []) == 2
    assert f"there is no config folder {conf / 'none'}" in capsys.readouterr().err


def test_rows_that_are_no_method_take_the_overrides_that_fit_them(conf, tmp_path):
    found = find_table("daw2023r3/convection", None)
    extra = [
        "pinn.problem.equation.beta=50.0",
        "pinn.n_points=10",
        "optimizer.lr=1",
        "trainer.max_steps=3",
        "threads=2",
    ]
    plan = planned(found, "desk", extra, tmp_path)
    assert plan[0].cell.overrides == ("pinn.problem.equation.beta=50.0", "pinn.predict=mean", "threads=2")
    first = next(item for item in plan if item.cell.row.name == "PINN, fixed points")
    assert set(extra) <= set(first.cell.overrides)
    assert [(item.threads, item.steps) for item in (plan[0], first)] == [(2, 0), (2, 3)]


def test_a_cell_has_the_folder_that_the_run_itself_takes(conf, tmp_path):
    from hydra import compose

    from sciml.cli.origin import hydra_session
    from sciml.cli.request import request_of

    found = find_table("mine2020x/heat", str(conf))
    item = planned(found, "desk", (), tmp_path, str(conf))[1]
    given = ["+experiment=baseline/heat", *item.cell.overrides, "seed=1", f"outputs={tmp_path}"]
    with hydra_session(str(conf)):
        cfg = compose("config", given, return_hydra_config=True)
        request = request_of(cfg, dict(cfg.hydra.runtime.choices), given)
    assert item.folders[1].path == request.folder.path
    assert digest(request.tree) in item.folders[1].path.name


def test_a_folder_that_cannot_be_made_fails_the_run(conf, stub, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert make_table("mine2020x/heat", [], "desk", True, 1, "text", str(tmp_path / "file"), str(conf), []) == 1
    assert "fast seed 0 failed: cannot write " in capsys.readouterr().err


def command(conf: Path, out: Path, *more: str) -> list[str]:
    options = ["--config-dir", str(conf), "--outputs", str(out), "-j", "2", *more]
    return [sys.executable, "-m", "sciml.cli", "table", "mine2020x/heat", "track.mode=disabled", *options]


def test_composing_all_cells_needs_no_torch(conf, tmp_path):
    code = (
        "import sys; from sciml.cli.tables import make_table;"
        f"make_table('mine2020x/heat', [], 'desk', False, 1, 'text', {str(tmp_path)!r}, {str(conf)!r}, []);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_what_is_missing_can_be_given_to_a_launcher(table, stub, conf, capsys, tmp_path, monkeypatch):
    """Here to one that submits: the rows that are there stay, the others are frozen, the table says what it lacks."""
    assert table(run=True, seeds=1) == 0
    capsys.readouterr()
    (tmp_path / "bin").mkdir()
    for name, says in (("sbatch", "77"), ("squeue", ""), ("scontrol", "MaxArraySize = 1001"), ("sacct", "")):
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\necho {says}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    before = len(started(stub))
    assert table("launcher.time=10", launcher="slurm", jobs=3) == 2
    assert "the launcher slurm has no --jobs" in capsys.readouterr().err
    assert table("launcher.time=10", launcher="slurm", jobs=0) == 0
    assert len(started(stub)) == before
    [file] = (tmp_path / "out/.sweeps").glob("*/sweep.json")
    sweep = json.loads(file.read_text())
    assert sorted(run["seed"] for run in sweep["runs"]) == [1, 1]
    assert all((tmp_path / "out" / run["folder"] / "config.yaml").is_file() for run in sweep["runs"])
    out, err = capsys.readouterr()
    assert [len(cell["seeds"]) for cell in json.loads(out[out.index("[\n") :])] == [1, 1, 1, 1]
    assert "the same command prints the table when they are done" in err
    assert table("launcher.time=10") == 2
    assert "launcher.time=10 is a setting of a launcher: say --launcher NAME" in capsys.readouterr().err


def test_a_large_table_that_is_killed_half_way_repeats_no_finished_cell(table, stub, conf, tmp_path):
    """60 cells, half of them made before; SIGKILL while the others are at work."""
    tree = json.loads(json.dumps(TABLE))
    tree["budgets"]["desk"]["seeds"] = [0]
    tree["rows"][1:3] = [
        {"name": f"lr {i}", "overrides": [f"optimizer.lr={i / 1000}"], "reported": [None]} for i in range(1, 59)
    ]
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree))
    child = helpers.child(table)
    _until(lambda: len(_rows(tmp_path / "out")) >= 30)
    os.kill(child, signal.SIGKILL)
    assert helpers.wait(child) == -signal.SIGKILL
    before = {folder.path for folder in _rows(tmp_path / "out")}
    assert 30 <= len(before) < 60
    begun = len(started(stub))
    assert table() == 0
    assert len(_rows(tmp_path / "out")) == 60
    again = started(stub)[begun:]
    assert len(again) <= 60 - len(before)
    assert len(set(again)) == len(again)


@pytest.mark.slow
def test_a_killed_table_leaves_no_run_behind_and_goes_on_where_it_was(conf, tmp_path):
    """The real program: killed with runs in progress, then repeated."""
    tree = json.loads(json.dumps(TABLE))
    tree["budgets"]["desk"]["seeds"] = [0]
    untrained, _, slow, trained = tree["rows"]
    slow["overrides"] = ["optimizer.lr=0.01", "trainer.max_steps=4000", "checkpoint.every_seconds=0"]
    tree["rows"] = [untrained, slow, trained]  # each costs a process
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree))
    out = tmp_path / "out"
    found = find_table("mine2020x/heat", str(conf))
    plan = planned(found, "desk", (), out, str(conf))
    slow = plan[1].folders[0]
    first = subprocess.Popen(command(conf, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until(lambda: slow.read_status().get("step", 0) > 100 and plan[0].folders[0].row.exists())
    first.kill()
    first.wait()
    _until(lambda: slow.read_status().get("state") == "stopped")  # told by the kernel, it saved and ended
    step = slow.read_status()["step"]
    times = {folder: folder.row.stat().st_mtime_ns for folder in _rows(out)}
    assert times
    assert not slow.row.exists()
    done = subprocess.run(command(conf, out, "-f", "json"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = {cell["row"]: cell for cell in json.loads(done.stdout)}
    assert [len(cell["values"]) for cell in cells.values()] == [1, 1, 1]
    assert cells["slow"]["values"] == [json.loads(slow.row.read_text())["metrics"]["rel_l2"]]
    assert cells["trained"]["mean"] < cells["untrained"]["mean"]
    assert f"{3 - len(times)} run" in done.stderr
    assert all(folder.row.stat().st_mtime_ns == at for folder, at in times.items())
    assert json.loads(slow.row.read_text())["cost"]["steps"] == 4000
    steps = [json.loads(line)["step"] for line in slow.metrics.read_text().splitlines()]
    assert steps == sorted(steps)
    assert step < 4000
    assert "relative L2 error" in done.stderr


def _rows(out: Path) -> list[RunFolder]:
    return [RunFolder(path.parent) for path in out.rglob("row.json")]


def _until(holds) -> None:
    end = time.monotonic() + 240
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def attributing(conf: Path) -> None:
    """A table whose runs build on another one."""
    tree = json.loads(json.dumps(TABLE)) | {"experiment": "attribution/operator"}
    tree["budgets"] = {name: {"overrides": [], "seeds": [0]} for name in ("paper", "desk")}
    tree["rows"] = [
        {"name": "floor", "kind": "floor", "overrides": ["influence.evaluation.groups=2"]},
        {"name": "more", "overrides": ["influence.evaluation.groups=3"], "reported": [None]},
        {"name": "most", "kind": "ceiling", "overrides": ["influence.evaluation.groups=4"]},
    ]
    (conf / "table/mine2020x/heat.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))


def test_what_runs_build_on_comes_first_and_once(table, stub, attributing, tmp_path, capsys):
    assert table() == 0
    first, *others = started(stub)
    assert "+experiment=attribution/heat seed=0" in first
    assert "--force" not in first
    assert len(others) == 3
    assert all("+experiment=attribution/operator" in line for line in others)
    assert "builds on attribution/heat seed 0, which comes first" in capsys.readouterr().err
    # Its row without its weights, as in a fresh clone; then both.
    [row] = (tmp_path / "out/attribution/heat").glob("*/row.json")
    (row.parent / "config.yaml").touch()
    assert table("influence.evaluation.queries=1") == 0
    assert [("--force" in line) for line in started(stub)[4:] if "attribution/heat" in line] == [True]
    (row.parent / "last.ckpt").touch()
    assert table("influence.evaluation.queries=3") == 0
    assert len(started(stub)) == 4 + 4 + 3


def test_what_runs_build_on_has_their_seeds(table, stub, attributing, capsys):
    assert table(seeds=2) == 0
    first = [line for line in started(stub) if "+experiment=attribution/heat" in line]
    assert [line.split("seed=")[1].split()[0] for line in first] == ["0", "1"]
    assert started(stub)[:2] == first
    assert "builds on attribution/heat seed 0, attribution/heat seed 1, which comes first" in capsys.readouterr().err


def test_nothing_starts_where_what_it_builds_on_fails(table, stub, attributing, capsys):
    (stub / "seed=0").write_text("fail")
    assert table() == 1
    assert len(started(stub)) == 1
    assert "attribution/heat seed 0 failed: the loss is nan" in capsys.readouterr().err


def test_a_launcher_wants_what_its_runs_build_on(table, stub, attributing, capsys):
    assert table(launcher="slurm", jobs=0) == 2
    assert "must be there before others start: sciml train" in capsys.readouterr().err
    assert started(stub) == []
