"""What a row says of the user's files, and who hears that one has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import mat_files
import numpy as np
import pytest
import torch
from helpers import request, run

from sciml import datafile
from sciml.data import mat
from sciml.data.arrays import arrays
from sciml.datafile import Readings, changed, reading, record_of, recording
from sciml.errors import UsageError
from sciml.finished import finished
from sciml.folder import placed
from sciml.operator.source.neuraloperator import NeuralOperator
from sciml.run import execute

X = np.arange(6.0).reshape(2, 3)


def row(**files: Any) -> dict[str, Any]:
    return {"experiment": "mine/case", "hash": "0123456789", "seed": 2, "files": files, "metrics": {}}


def content(path: Path, text: bytes, *, later: bool = True) -> Path:
    """The file with another content, of a later time of change than any before or, if not later, of the same."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_bytes(text)
    stamp = before + 10**9 * later if before else path.stat().st_mtime_ns
    os.utime(path, ns=(stamp, stamp))
    return path


def npz(path: Path) -> list[Path]:
    np.savez(path / "a.npz", x=X)
    arrays(path / "a.npz", ["x"])
    return [path / "a.npz"]


def npy(path: Path) -> list[Path]:
    for name in "xyz":
        np.save(path / f"{name}.npy", X)
    arrays(path, ["x", "y"])
    return [path / "x.npy", path / "y.npy"]  # of a folder what was read, and no more


def hdf5(path: Path) -> list[Path]:
    with h5py.File(path / "a.h5", "w") as file:
        file["x"] = X
    arrays(path / "a.h5", ["x"])[1]()
    return [path / "a.h5"]


def matlab(version: str) -> Callable[[Path], list[Path]]:
    def read(path: Path) -> list[Path]:
        file = Path(mat_files.write(path / "a.mat", version, x=X))
        mat.variables(file, ["x"])[1]()
        return [file]

    return read


def pickled(path: Path) -> list[Path]:
    torch.save({"x": torch.zeros(2, 4, 4), "y": torch.zeros(2, 4, 4)}, path / "a.pt")
    NeuralOperator(file="a.pt", folder=str(path)).read()
    return [path / "a.pt"]


@pytest.mark.parametrize("read", [npz, npy, hdf5, matlab("7"), matlab("7.3"), pickled])
def test_files_of_every_format_are_recorded_where_they_are_read(
    read: Callable[[Path], list[Path]], tmp_path: Path
) -> None:
    told: list[dict[str, Any]] = []
    with recording(None, lambda files: told.append(dict(files))) as readings:
        paths = read(tmp_path)
        read(tmp_path)  # each is recorded once
    assert list(readings.files) == list(map(str, paths))
    assert told[-1] == readings.files
    for path in paths:
        assert readings.files[str(path)]["size"] == path.stat().st_size
        assert readings.files[str(path)]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    read(tmp_path)  # outside of a run nobody listens
    assert len(told) == len(paths)


def test_what_the_program_keeps_and_what_is_not_there_is_not_recorded(tmp_path: Path) -> None:
    own = tmp_path / "outputs/.data/heat/0123"
    own.mkdir(parents=True)
    with placed(tmp_path / "outputs"), recording(None, lambda files: None) as readings:
        hdf5(own)
        with pytest.raises(UsageError, match="there is no file"):
            arrays(tmp_path / "missing.h5", ["x"])
        reading(tmp_path)
        assert readings.files == {}
        hdf5(tmp_path)
        assert list(readings.files) == [str(tmp_path / "a.h5")]


def test_of_a_large_file_pieces_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafile, "PIECE", 4)
    monkeypatch.setattr(datafile, "PIECES", 3)
    text = bytes(range(40))
    whole, large = record_of(content(tmp_path / "a", text[:12])), record_of(content(tmp_path / "b", text))
    assert whole is not None
    assert large is not None
    assert whole["sha256"] == hashlib.sha256(text[:12]).hexdigest()
    assert large["sha256_of_pieces"] == hashlib.sha256(text[:4] + text[18:22] + text[36:]).hexdigest()
    assert "sha256" not in large


def test_a_change_is_seen_and_a_copy_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("a.npy")
    record = json.loads(json.dumps(record_of(content(path, b"one"))))
    rows = [row(**{"a.npy": record})]
    assert changed(rows) == []
    content(path, b"two")
    (line,) = changed(rows)
    assert line == (
        "a.npy has changed since mine/case/0123456789-seed2 read it: its row is of what it held then"
        " (--force repeats a run)"
    )
    assert changed(3 * rows)[0].startswith("a.npy has changed since 3 finished runs read it: their rows are")
    content(path, b"longer", later=False)
    assert len(changed(rows)) == 1
    content(path, b"one")  # copied back, or checked out: another time of change
    assert changed(rows) == []
    path.unlink()
    assert changed(rows) == []
    # Rows are data from outside, and older ones have no files.
    content(path, b"two")
    assert changed([{**rows[0], "files": None}, row(**{"a.npy": 3}), {"metrics": {}}]) == []


def test_a_row_has_the_files_of_its_run_and_who_finds_it_hears_of_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = content(tmp_path / "mine.npy", b"one")
    monkeypatch.setattr("toy_package.Toy.setup", lambda self, stage: reading(path), raising=False)
    first = run(tmp_path / "outputs")
    assert first.row["files"] == {str(path): record_of(path)}
    assert first.folder.read_row() == json.loads(json.dumps(first.row))
    caplog.set_level(logging.WARNING, logger="sciml")
    assert run(tmp_path / "outputs").found
    assert not caplog.records
    content(path, b"two")
    again = run(tmp_path / "outputs")
    assert again.found
    assert again.folder.path == first.folder.path  # what a file holds is no part of what identifies a run
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    caplog.clear()
    repeated = execute(request(tmp_path / "outputs", force=True))
    assert repeated.row["files"] == {str(path): record_of(path)} != first.row["files"]
    assert repeated.row["warnings"] == first.row["warnings"]
    assert run(tmp_path / "outputs").found
    assert not caplog.records
    monkeypatch.undo()
    assert "files" not in run(tmp_path / "other").row


def test_a_run_that_builds_on_another_hears_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = content(tmp_path / "mine.npy", b"one")
    monkeypatch.setattr("toy_package.Toy.setup", lambda self, stage: reading(path), raising=False)
    monkeypatch.setenv("SCIML_TRUST", "toy_package")
    folder = run(tmp_path / "outputs").folder
    caplog.set_level(logging.WARNING, logger="sciml")
    finished(str(folder.path), family="pinn")
    assert not caplog.records
    content(path, b"two")
    finished(str(folder.path), family="pinn")
    assert f"{path} has changed since mine/toy/{folder.path.name} read it" in caplog.text


@pytest.mark.parametrize("change", [True, False])
def test_a_run_that_goes_on_with_other_data_says_so(
    change: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = content(tmp_path / "mine.npy", b"one")
    losses = import_module("toy_package").Toy.losses

    def breaks(self: Any) -> Any:
        if self.count == 20:
            raise ValueError("the method broke")
        return losses(self)

    monkeypatch.setattr("toy_package.Toy.setup", lambda self, stage: reading(path), raising=False)
    with monkeypatch.context() as broken:
        broken.setattr("toy_package.Toy.losses", breaks)
        with pytest.raises(ValueError, match="broke"):
            run(tmp_path / "outputs")
    if change:
        content(path, b"two")
    whole = run(tmp_path / "outputs")
    assert whole.row["files"] == {str(path): record_of(path)}
    said = [line for line in whole.row["warnings"] if "mine.npy" in line]
    assert said == ([f"{path} was changed while this run was interrupted: it was begun with other data"] * change)


def test_damaged_records_of_an_interrupted_run_are_no_matter(tmp_path: Path) -> None:
    path = content(tmp_path / "a", b"one")
    damaged: list[Any] = [{str(path): 3}, {str(path): {}}]
    for before in damaged:
        readings = Readings(before, lambda files: None)
        readings.add(path)
        assert len(readings.warnings) == 1
    with recording(["a"], lambda files: None) as other:
        reading(path)
    assert other.warnings == []
