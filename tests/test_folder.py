"""Files of a run folder: whole or absent, and named when they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sciml.errors import UsageError
from sciml.folder import RunFolder, read_row, write_atomically

ROW: dict[str, Any] = {
    "experiment": "a/b",
    "family": "pinn",
    "hash": "0123456789",
    "seed": 1,
    "metrics": {"rel_l2": 0.5},
}


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "is damaged"),
        ("[]", "must hold one row, not list"),
        (json.dumps({k: v for k, v in ROW.items() if k != "hash"}), "its field 'hash' must be str"),
        (json.dumps({**ROW, "seed": "1"}), "its field 'seed' must be int"),
        (json.dumps({**ROW, "metrics": {"rel_l2": "small"}}), "its metric 'rel_l2' is 'small', not a number"),
        (json.dumps({**ROW, "metrics": {"rel_l2": float("nan")}}), "its metric 'rel_l2' is nan, not a number"),
    ],
)
def test_damaged_row_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "row.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=why) as caught:
        read_row(path)
    assert str(path) in str(caught.value)


def test_row_comes_back_as_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_row() is None
    folder.write_row(ROW)
    assert folder.read_row() == ROW


def test_status_merges_and_survives_damage(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.update_status(state="running", step=1)
    folder.update_status(step=2)
    assert {k: v for k, v in folder.read_status().items() if k != "updated"} == {"state": "running", "step": 2}
    folder.status.write_text("{torn")
    assert folder.read_status() == {}


def test_metrics_after_the_checkpoint_are_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.cut_metrics(3)  # nothing there: nothing to do
    folder.metrics.write_text('{"step": 1}\n{"step": 5}\n{"step": 10}\n{"step": 1')
    folder.cut_metrics(5)
    assert folder.metrics.read_text() == '{"step": 1}\n{"step": 5}\n'


@pytest.mark.parametrize("text", ["{", "a: [", "just words", "experiment: a"])
def test_damaged_config_is_named(tmp_path: Path, text: str) -> None:
    folder = RunFolder(tmp_path)
    with pytest.raises(UsageError, match=r"is not a run folder: it has no config\.yaml"):
        folder.read_config()
    folder.config.write_text(text)
    with pytest.raises(UsageError, match=r"config\.yaml (cannot be read|is damaged)"):
        folder.read_config()


def test_arrays_are_written_whole_and_hold_no_objects(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_arrays({"scores": {"value": np.arange(3.0), "names": np.array(["a", "b"])}})
    with np.load(tmp_path / "scores.npz", allow_pickle=False) as found:
        assert found["value"].tolist() == [0, 1, 2]
        assert found["names"].tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="Object arrays"):
        folder.write_arrays({"scores": {"value": np.array([object()])}})
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]
    assert np.load(tmp_path / "scores.npz")["value"].tolist() == [0, 1, 2]
