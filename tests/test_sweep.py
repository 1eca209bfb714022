"""What is on file about a sweep: written whole, read back, found by name, and taken back if nobody takes the runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
import yaml
from helpers import tree

from sciml.config import digest
from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder
from sciml.freezing import Draft, freezing, new_folder
from sciml.launcher.base import Launcher
from sciml.sweep import Sweep, find, names, packed, read, submit

MOMENT = datetime(2026, 1, 2, 3, 4, 5)


class Notes(Launcher):
    """Notes what it is given."""

    waits = False

    def __init__(self, runs_per_task: int = 1, refuses: bool = False) -> None:
        self.runs_per_task, self.refuses = runs_per_task, refuses
        self.commands: list[list[str]] = []

    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        if self.refuses:
            raise UsageError("no room")
        self.commands += [list(command) for command in commands]
        return [f"5_{i}" for i in range(len(commands))]


def drafts(outputs: Path, n: int = 3) -> list[Draft]:
    trees = [tree(outputs, seed=seed) for seed in range(n)]
    return [Draft(t, "mine/toy", {"pinn": "toy"}, f"seed={t['seed']}", f"sciml train seed={t['seed']}") for t in trees]


def frozen(outputs: Path, n: int = 3) -> Sweep:
    with freezing() as made:
        return made.freeze(drafts(outputs, n), outputs, "sciml sweep x", ("toy_package",), {"commit": "abc"})


def everything(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_is_frozen_is_what_a_run_files(tmp_path: Path) -> None:
    sweep = frozen(tmp_path)
    config = tree(tmp_path, seed=1)
    run = sweep.runs[1]
    assert (run.label, run.seed, run.steps, run.threads) == ("seed=1", 1, 40, 1)
    assert run.folder == f"mine/toy/{digest(config)}-seed1"
    folder = sweep.folder(run)
    del config["outputs"]
    stored = yaml.safe_load(folder.config.read_text())
    assert stored == {"experiment": "mine/toy", "choices": {"pinn": "toy"}, "config": config}
    status = folder.read_status()
    assert (status["state"], status["sweep"], status["command"]) == ("queued", sweep.name, "sciml train seed=1")


def test_the_record_comes_back(tmp_path: Path) -> None:
    launcher = Notes(runs_per_task=2)
    sweep = submit(frozen(tmp_path), frozen(tmp_path).runs, launcher, "notes", {"runs_per_task": 2})
    assert read(sweep.path) == sweep
    assert [command[1:] for command in launcher.commands] == [
        ["-m", "sciml.cli.job", str(sweep.path), "0", "1"],
        ["-m", "sciml.cli.job", str(sweep.path), "2"],
    ]
    given = sweep.given(sweep.runs[1])
    assert given is not None
    submission, task = given
    assert (submission.launcher, submission.waits, task.runs, task.id) == ("notes", False, (0, 1), "5_0")
    again = submit(sweep, sweep.runs[:1], Notes(), "notes", {})
    assert [task.id for _, task in filter(None, map(again.given, again.runs))] == ["5_0", "5_0", "5_1"]
    assert again.given(again.runs[0]) != again.given(again.runs[1])
    assert again.submissions[1].tasks[0].log == f"{sweep.name}.2-0.log"


def test_the_folder_may_be_moved(tmp_path: Path) -> None:
    sweep = frozen(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = read(tmp_path / "b" / ".sweeps" / sweep.name)
    assert moved.outputs == tmp_path / "b"
    assert moved.folder(moved.runs[0]).config.exists()


@pytest.mark.parametrize("before", [None, "stopped", "done", "damaged"])
def test_nothing_is_left_of_a_sweep_that_nobody_takes(before: str | None, tmp_path: Path) -> None:
    folder = drafts(tmp_path)[1].folder
    if before is not None:
        folder.create()
        folder.config.write_text("old")
        folder.status.write_text(json.dumps({"state": "stopped", "step": 7, "wandb_id": "w", "updated": 1}))
    if before in ("done", "damaged"):
        row = {"experiment": "a", "family": "b", "hash": "c", "seed": 1, "metrics": {}}
        folder.row.write_text("{" if before == "damaged" else json.dumps(row))
    rows = folder.row.read_text() if folder.row.exists() else None

    def refused() -> None:
        with freezing() as made:
            sweep = made.freeze(drafts(tmp_path), tmp_path, "x", (), {}, force=before == "done")
            assert not folder.row.exists()
            submit(sweep, sweep.runs, Notes(refuses=True), "notes", {})

    with pytest.raises(UsageError, match="no room"):
        refused()
    assert not (tmp_path / ".sweeps").exists()
    if before is None:
        assert everything(tmp_path) == {}
        assert not list(tmp_path.iterdir())
        return
    status = folder.read_status()
    assert (status["state"], status["step"], status["wandb_id"]) == ("stopped", 7, "w")
    assert (folder.row.read_text() if folder.row.exists() else None) == rows
    assert {path.parent.name for path in tmp_path.rglob("status.json")} == {folder.path.name}


def test_a_finished_run_is_kept_when_it_is_repeated(tmp_path: Path) -> None:
    folder = drafts(tmp_path)[0].folder
    folder.create()
    row = {"experiment": "a", "family": "b", "hash": "c", "seed": 1, "metrics": {}}
    folder.write_row(row)
    folder.last.write_text("weights")
    with freezing() as made:
        made.freeze(drafts(tmp_path), tmp_path, "x", (), {}, force=True)
    assert not folder.row.exists()
    assert not folder.last.exists()
    assert json.loads((folder.path / "row.previous.json").read_text()) == row


def test_a_damaged_row_is_set_aside(tmp_path: Path) -> None:
    folder = drafts(tmp_path)[0].folder
    folder.create()
    folder.row.write_text("{")
    frozen(tmp_path)
    assert not folder.row.exists()
    assert (folder.path / "row.damaged.json").read_text() == "{"


def test_names(tmp_path: Path) -> None:
    first = new_folder(tmp_path, ["mine/toy", "mine/toy"], MOMENT)
    assert first.name == "mine-toy-20260102-030405"
    assert new_folder(tmp_path, ["mine/toy"], MOMENT).name == "mine-toy-20260102-030405-2"
    assert new_folder(tmp_path, ["a/b", "c/d"], MOMENT).name == "2-experiments-20260102-030405"
    older = new_folder(tmp_path, ["zzz/z"], MOMENT.replace(year=2025))
    sweep = Sweep(first, "x", 0.0, {}, (), ())
    for path in sorted((tmp_path / ".sweeps").iterdir()):
        Sweep(path, "x", 0.0, {}, (), ()).write()
    assert names(tmp_path)[0] == older.name
    assert set(names(tmp_path)[1:]) == {p.name for p in first.parent.iterdir()} - {older.name}
    assert find("mine-toy-20260102-030405", tmp_path) == sweep  # all of a name, not a part of another
    assert find("zzz", tmp_path).path == older
    assert find(str(first), Path("elsewhere")).path == first
    with pytest.raises(UsageError, match="mine fits 2 sweeps: mine-toy-"):
        find("mine", tmp_path)
    with pytest.raises(UsageError, match=r"there is no sweep zzz-z-20260102-030405; did you mean zzz-z-2025"):
        find("zzz-z-20260102-030405", tmp_path)
    with pytest.raises(UsageError, match=r"there is no sweep x; .*/none holds no sweeps"):
        find("x", tmp_path / "none")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"submissions": 3}'])
def test_a_damaged_record(text: str, tmp_path: Path) -> None:
    sweep = frozen(tmp_path)
    (sweep.path / "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=r"sweep\.json is damaged"):
        read(sweep.path)
    (sweep.path / "sweep.json").unlink()
    with pytest.raises(UsageError, match=r"is not a sweep: it has no sweep\.json"):
        read(sweep.path)


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write .*/file/\.sweeps/"):
        frozen(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".sweeps").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        frozen(tmp_path / "other")
    assert {p.name for p in tmp_path.iterdir()} == {"file", "other"}


def test_packs(tmp_path: Path) -> None:
    runs = frozen(tmp_path, 5).runs
    assert [[run.index for run in pack] for pack in packed(runs, 2)] == [[0, 1], [2, 3], [4]]
    assert isinstance(RunFolder(tmp_path), RunFolder)
