"""``sciml eval`` and ``sciml resume``."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import USER, run

from sciml.datafile import record_of

TOY = ("--config-dir", f"{USER}/conf", "--trust", "toy_package", "+experiment=mine/toy", "trainer.max_steps=10")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder, to be copied."""
    return run(tmp_path_factory.mktemp("finished"), trainer={"max_steps": 10}).folder.path


@pytest.fixture
def folder(finished: Path, outputs: Path) -> Path:
    """A finished run of this test's own."""
    path = outputs / "mine" / "toy" / finished.name
    shutil.copytree(finished, path)
    return path


@pytest.fixture
def run_command(sciml: Callable[..., Any], outputs: Path) -> Callable[..., Any]:
    """A command on a run, with the outputs of this test and the toy's package."""

    def call(command: str, *args: str) -> Any:
        return sciml(command, *args, "--outputs", str(outputs), "--trust", "toy_package")

    return call


def test_eval(run_command: Callable[..., Any], folder: Path) -> None:
    metrics = json.loads((folder / "row.json").read_text())["metrics"]
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for text, more, prefix in ((folder.name[:6], (), ""), (str(folder), ("--checkpoint", "best"), "best/")):
        ended = run_command("eval", text, *more)
        assert ended.code == 0, ended.err
        lines = [line.split() for line in ended.out.splitlines()]
        assert lines[0] == ["metric", more[-1] if more else "last", "row", "difference"]
        value = f"{metrics[prefix + 'rel_l2']:.4g}"
        assert lines[1] == ["rel_l2", value, value, "0.0e+00"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (folder / "row.json").unlink()
    ended = run_command("eval", folder.name)
    assert ended.code == 0
    assert ended.out.splitlines()[1].split() == ["rel_l2", f"{metrics['rel_l2']:.4g}"]


def test_eval_names_a_data_file_that_has_changed(run_command: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    data, row = tmp_path / "mine.npz", json.loads((folder / "row.json").read_text())
    data.write_bytes(b"one")
    (folder / "row.json").write_text(json.dumps(row | {"files": {str(data): record_of(data)}}))
    assert run_command("eval", folder.name).err == ""
    data.write_bytes(b"another")
    ended = run_command("eval", folder.name)
    assert ended.code == 0
    assert f"{data} has changed since mine/toy/{folder.name} read it" in ended.err


@pytest.mark.parametrize(
    ("spoil", "args", "code", "message"),
    [
        (None, ["--checkpoint", "lats"], 2, "there is no checkpoint 'lats': choose last or best"),
        ("rm last.ckpt", [], 2, "last.ckpt"),
        ("write last.ckpt", [], 2, "last.ckpt"),
        ("rm config.yaml", [], 2, "is not a run folder: it has no config.yaml"),
        ("write config.yaml", [], 2, "config.yaml is damaged: it must hold experiment, choices and config"),
        ("write row.json", [], 2, "row.json is damaged: "),
    ],
)
def test_eval_of_what_is_not_whole(
    spoil: str | None, args: list[str], code: int, message: str, run_command: Callable[..., Any], folder: Path
) -> None:
    verb, _, name = (spoil or "").partition(" ")
    if verb == "rm":
        (folder / name).unlink()
    elif verb == "write":
        (folder / name).write_text("nonsense")
    target = str(folder / "row.json") if name == "config.yaml" else folder.name
    ended = run_command("eval", target, *args)
    assert ended.code == code
    assert message in ended.err
    assert ended.err.startswith("error: ")
    assert ended.err.count("\n") == 1


def test_eval_that_fails(run_command: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = yaml.safe_load((folder / "config.yaml").read_text())
    stored["config"]["pinn"]["nan_metric"] = True
    (folder / "config.yaml").write_text(yaml.safe_dump(stored))
    ended = run_command("eval", folder.name)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "error: metric 'max_error' is nan after 0 steps\n"

    def broken(*args: object) -> None:
        raise ZeroDivisionError("no\nreason")

    monkeypatch.setattr("sciml.run.evaluate", broken)
    ended = run_command("eval", folder.name)
    assert ended.code == 1
    assert ended.err == (
        f"error: the test of {folder.name} failed: ZeroDivisionError: no reason\n  SCIML_TRACE=1 shows the full trace\n"
    )


def test_an_interrupted_eval(run_command: Callable[..., Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("toy_package.Toy.test_step", interrupted)
    ended = run_command("eval", folder.name)
    assert (ended.code, ended.err) == (130, "error: interrupted\n")


def test_which_run(run_command: Callable[..., Any], folder: Path, outputs: Path) -> None:
    ended = run_command("eval", "nothing")
    assert (ended.code, ended.err) == (2, "error: there is no run nothing\n")
    shutil.copytree(folder, folder.with_name(folder.name.replace("seed0", "seed1")))
    ended = run_command("resume", "mine/toy")
    assert ended.code == 2
    assert ended.err.startswith(f"error: mine/toy fits 2 runs: {folder}, ")
    shutil.rmtree(outputs)
    ended = run_command("resume", "mine/toy")
    assert (ended.code, ended.err) == (2, f"error: there is no run mine/toy; {outputs} holds no runs\n")


def test_trust_is_needed(sciml: Callable[..., Any], folder: Path) -> None:
    for command in ("eval", "resume"):
        (folder / "row.json").unlink(missing_ok=True)
        ended = sciml(command, str(folder))
        assert ended.code == 2
        assert "toy_package.Toy is not trusted" in ended.err


def test_resume_of_a_finished_run(run_command: Callable[..., Any], folder: Path) -> None:
    ended = run_command("resume", folder.name)
    assert ended.code == 0
    assert ended.err == "this run is finished\n"  # resume has no --force
    assert "(found, not repeated)" in ended.out


def test_resume_after_a_failure(
    run_command: Callable[..., Any], train: Callable[..., Any], outputs: Path, tmp_path: Path
) -> None:
    """The folder has moved since, and the commands are given from another place."""
    whole = run(tmp_path / "whole", trainer={"max_steps": 10, "accelerator": "auto", "precision": "32-true"})
    assert train(*TOY, "trainer.max_steps=10").code == 0
    path = next(outputs.rglob("row.json"))
    path.unlink()
    moved = path.parent.parents[1].rename(outputs / "elsewhere")
    again = run_command("resume", str(next(moved.rglob("config.yaml")).parent))
    assert again.code == 2
    assert "was moved" in again.err or "edited" in again.err
    (outputs / "elsewhere").rename(outputs / "mine")
    outputs.rename(tmp_path / "new")
    (tmp_path / "outputs").mkdir()
    os.chdir(tmp_path)
    ended = run_command("resume", str(Path("new", *path.relative_to(outputs).parts).parent))
    assert ended.code == 0
    metrics = json.loads((tmp_path / "new" / path.relative_to(outputs)).read_text())["metrics"]
    assert metrics == whole.row["metrics"]


def test_resume_of_an_edited_config(run_command: Callable[..., Any], folder: Path) -> None:
    (folder / "row.json").unlink()
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("max_steps: 10", "max_steps: 20"))
    ended = run_command("resume", folder.name)
    assert ended.code == 2
    assert ended.err.startswith(f"error: {folder}/config.yaml was edited: its hash is ")
    assert folder.name in ended.err
    assert not (folder / "row.json").exists()
