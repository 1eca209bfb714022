"""Tracking: the mirror in W&B holds what the run folder holds, and can fail without harm."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import request, run

from sciml import track
from sciml.errors import ConfigError, RunError
from sciml.folder import RunFolder
from sciml.run import execute

OFFLINE = {"track": {"mode": "offline"}}


def records(folder: RunFolder) -> list[dict[str, Any]]:
    """Every record of the offline runs in a folder, read by wandb's own reader."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.path.glob("wandb/offline-run-*")):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        found += [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("{")]
    return found


@pytest.mark.slow
def test_offline_run_holds_every_logged_number_and_the_row(tmp_path: Path) -> None:
    outcome = run(tmp_path, **OFFLINE)
    text = json.dumps(records(outcome.folder))
    mirrored = mirror_of(outcome.folder)
    logged = [json.loads(line) for line in outcome.folder.metrics.read_text().splitlines()]
    for line in logged:
        for name, value in line.items():
            if name not in ("step", "time", "stage"):
                assert (line["step"], name, pytest.approx(value)) in mirrored, (line["step"], name, value)
    for name, value in outcome.row["metrics"].items():
        assert any(n == name and v == pytest.approx(value) for _, n, v in mirrored), name
    assert outcome.row["hash"] in text
    assert "figure/line" in text
    assert f"run-{json.loads(outcome.folder.status.read_text())['wandb_id']}" in text
    for name in ("last.ckpt", "best.ckpt", "row.json"):
        assert name in text


def mirror_of(folder: RunFolder) -> list[tuple[int, str, Any]]:
    """(step, name, value) of every number in the history of the mirror."""
    items = [record["history"]["item"] for record in records(folder) if record["type"] == "history"]
    return [
        (item["trainer/global_step"], n, v) for item in items if "trainer/global_step" in item for n, v in item.items()
    ]


@pytest.mark.slow
def test_resumed_run_is_the_same_run_in_the_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import toy_package

    with monkeypatch.context() as patch:
        patch.setattr(toy_package.Toy, "test_step", lambda self, batch, i: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(tmp_path, **OFFLINE)
    outcome = run(tmp_path, **OFFLINE)
    names = [path.name for path in outcome.folder.path.glob("wandb/offline-run-*")]
    assert len({name.split("-")[3] for name in names}) == 1  # offline-run-<time>-<id>, and -1 within one second


def test_mode_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bad value for track\.mode: 'on' is not one of offline, online, disabled"):
        run(tmp_path, track={"mode": "on"})


def test_mirror_that_does_not_start_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise PermissionError("no API key\nlong explanation")

    monkeypatch.setattr(track, "_start_wandb", refuse)
    failing = request(tmp_path, nap=0.01, track={"mode": "online"})
    with pytest.raises(RunError, match=r"^W&B did not start: no API key; use track\.mode=offline, or `wandb login`$"):
        execute(failing)


def test_offline_mirror_that_does_not_start_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(track, "_start_wandb", lambda *args: 1 / 0)
    with caplog.at_level(logging.WARNING, "sciml"):
        assert run(tmp_path, **OFFLINE).folder.row.exists()
    assert "W&B did not start: division by zero; the run folder has everything" in caplog.text


def test_offline_mirror_of_a_long_run_starts_while_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Recorder:
        experiment = None

        def log_metrics(self, metrics: Any, step: int) -> None:
            seen.append(step)

    monkeypatch.setattr(track, "_start_wandb", lambda *args: Recorder())
    monkeypatch.setattr(track, "OFFLINE_PATIENCE", 0.2)
    import toy_package

    before_test: list[int] = []
    monkeypatch.setattr(toy_package.Toy, "on_test_start", lambda self: before_test.extend(seen), raising=False)
    run(tmp_path, nap=0.02, **OFFLINE)
    assert before_test[:2] == [5, 10]  # nothing that was logged before the start is lost


def test_mirror_that_breaks_later_does_not_touch_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def log_metrics(self, metrics: Any, step: int) -> None:
            raise ConnectionError("the service is gone")

    monkeypatch.setattr(track, "_start_wandb", lambda *args: Broken())
    with caplog.at_level(logging.WARNING, "sciml"):
        outcome = run(tmp_path, **OFFLINE)
    assert "W&B stopped taking data: the service is gone; the run folder has everything" in caplog.text
    assert outcome.folder.read_row() == json.loads(outcome.folder.row.read_text())
    assert outcome.row["metrics"] == run(tmp_path / "quiet").row["metrics"]


def test_only_track_imports_wandb() -> None:
    root = Path(track.__file__).parents[1]
    files = [path for folder in ("sciml", "cli") for path in (root / folder).rglob("*.py")]
    assert [p.name for p in files if any(w in p.read_text() for w in ("import wandb", "from wandb"))] == ["track.py"]
