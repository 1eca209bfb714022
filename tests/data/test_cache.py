"""The data cache: made once, whole or absent, checked, and made again when damaged."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from helpers import child, wait

from sciml import files
from sciml.data import cache
from sciml.errors import RunError
from sciml.folder import placed
from sciml.operator.dataset.heat import HeatDataset

SETTINGS = {"points": 4, "nu": 0.1}
CONTENT = b"fields" * 1000


def entry(root: Path, made: Path | None = None, *, nap: float = 0.0, version: int = 1, **settings: float) -> Path:
    """Ask for the data; each generation leaves a line in ``made``."""

    def generate(path: Path) -> None:
        if made is not None:
            with open(made, "a") as file:
                file.write(f"{os.getpid()}\n")
        with open(path, "wb") as file:
            file.write(CONTENT[:100])
            file.flush()
            time.sleep(nap)
            file.write(CONTENT[100:])

    return cache.entry(root, "heat", {**SETTINGS, **settings}, version=version, generate=generate)


def leftovers(root: Path) -> list[str]:
    """What lies beside the entries."""
    return [path.name for path in (root / "heat").iterdir() if not (path.is_dir() and len(path.name) == 16)]


def test_sixteen_processes_make_it_once_and_see_all_of_it(tmp_path: Path) -> None:
    made, gate = tmp_path / "made", tmp_path / "gate"

    def ask() -> int:
        while not gate.exists():
            time.sleep(0.001)
        return 0 if entry(tmp_path / "cache", made, nap=0.2).read_bytes() == CONTENT else 1

    pids = [child(ask) for _ in range(16)]
    gate.touch()
    assert [wait(pid) for pid in pids] == [0] * 16
    assert len(made.read_text().splitlines()) == 1
    assert leftovers(tmp_path / "cache") == []


def test_other_settings_or_another_version_are_another_entry(tmp_path: Path) -> None:
    paths = {entry(tmp_path), entry(tmp_path, nu=0.2), entry(tmp_path, version=2), entry(tmp_path)}
    assert len(paths) == 3
    record = json.loads((entry(tmp_path).parent / "entry.json").read_text())
    assert record["settings"] == SETTINGS
    assert (record["name"], record["version"], record["bytes"]) == ("heat", 1, len(CONTENT))


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda data: data.write_bytes(CONTENT[:50]), "data has 50 bytes instead of 6000"),
        (lambda data: data.write_bytes(b"F" + CONTENT[1:]), "data does not match its checksum"),
        (lambda data: data.unlink(), "No such file or directory"),
        (lambda data: (data.parent / "entry.json").write_text("{"), "Expecting property name"),
    ],
)
def test_damage_is_named_and_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: object, why: str
) -> None:
    made = tmp_path / "made"
    data = entry(tmp_path / "cache", made)
    assert callable(harm)
    harm(data)
    with caplog.at_level(logging.WARNING, "sciml"):
        assert entry(tmp_path / "cache", made).read_bytes() == CONTENT
    assert f"data cache entry {data.parent} is damaged ({why}" in caplog.text
    assert len(made.read_text().splitlines()) == 2
    assert leftovers(tmp_path / "cache") == []


def test_damage_that_sixteen_processes_see_is_mended_once(tmp_path: Path) -> None:
    made = tmp_path / "made"
    entry(tmp_path / "cache").write_bytes(b"torn")
    pids = [child(lambda: int(entry(tmp_path / "cache", made, nap=0.1).read_bytes() != CONTENT)) for _ in range(16)]
    assert [wait(pid) for pid in pids] == [0] * 16
    assert len(made.read_text().splitlines()) == 1


def test_dead_generator_leaves_no_lock_and_nothing_partial(tmp_path: Path) -> None:
    made = tmp_path / "made"
    pid = child(lambda: int(bool(entry(tmp_path / "cache", made, nap=60))))
    while not list((tmp_path / "cache").glob("heat/.*/data")):
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    wait(pid)
    assert leftovers(tmp_path / "cache"), "the dead cannot clean up"
    assert entry(tmp_path / "cache", made).read_bytes() == CONTENT
    assert leftovers(tmp_path / "cache") == [], "the next one does"


def test_generator_that_fails_leaves_nothing_and_the_next_one_may_try(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        cache.entry(tmp_path, "heat", SETTINGS, version=1, generate=lambda path: path.write_text(str(1 / 0)) and None)
    assert list((tmp_path / "heat").iterdir()) == []
    assert entry(tmp_path).read_bytes() == CONTENT


def test_parts_outlive_who_made_them_until_the_entry_is_there(tmp_path: Path) -> None:
    parts = cache.parts_of(cache.place_of(tmp_path, "heat", SETTINGS, version=1))

    def generate(path: Path) -> None:
        parts.mkdir(exist_ok=True)
        if not (parts / "1").exists():
            (parts / "1").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        path.write_bytes(CONTENT)

    def ask() -> Path:
        return cache.entry(tmp_path, "heat", SETTINGS, version=1, generate=generate, suffix=".bin")

    assert wait(child(lambda: int(not ask()))) == -signal.SIGKILL
    assert parts.is_dir()
    file = ask()
    assert (file.name, file.read_bytes()) == ("data.bin", CONTENT)
    assert leftovers(tmp_path) == []
    parts.mkdir()  # one who was killed in between left them
    assert ask() == file
    assert leftovers(tmp_path) == []


def test_an_entry_can_be_removed_but_not_under_its_generator(tmp_path: Path) -> None:
    one, other = entry(tmp_path), entry(tmp_path, nu=0.2)
    parts = cache.parts_of(one.parent)
    parts.mkdir()
    (parts / "1").touch()
    cache.remove(one.parent)
    assert (one.parent.exists(), parts.exists(), other.exists()) == (False, False, True)
    assert leftovers(tmp_path) == []
    cache.remove(one.parent)  # what is gone may be removed again

    def generate(path: Path) -> None:
        pid = child(lambda: refused(one.parent))  # another process: a lock does not hold its own off
        path.write_bytes(CONTENT if wait(pid) == 0 else b"")

    def refused(place: Path) -> int:
        with pytest.raises(RunError, match="is being made by another process; nothing is removed"):
            cache.remove(place)
        return 0

    made = cache.entry(tmp_path, "heat", SETTINGS, version=1, generate=generate)
    assert made.read_bytes() == CONTENT


def test_what_is_kept_can_be_listed_by_its_records(tmp_path: Path) -> None:
    assert list(cache.kept(tmp_path)) == []
    files = [entry(tmp_path), entry(tmp_path, nu=0.2)]
    damaged = entry(tmp_path, nu=0.3)
    damaged.with_name("entry.json").write_text('{"name": ')
    found = {kept.file: kept for kept in cache.kept(tmp_path)}
    assert set(found) == set(files)
    assert found[files[1]].settings == {**SETTINGS, "nu": 0.2}
    assert (found[files[1]].name, found[files[1]].version, found[files[1]].size) == ("heat", 1, len(CONTENT))
    assert [kept.file for kept in cache.kept(tmp_path, "other")] == []
    assert all(kept.whole() for kept in found.values())
    files[0].write_bytes(CONTENT[:-1] + b"?")
    assert not found[files[0]].whole()


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (errno.ENOSPC, "no space left to write {}; free some and run the same command again"),
        (errno.EROFS, "cannot write {}: Read-only file system; choose another place with outputs=<folder>"),
    ],
)
def test_entry_that_cannot_be_made_is_one_line(tmp_path: Path, number: int, line: str) -> None:
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with pytest.raises(RunError) as caught:
        cache.entry(tmp_path, "heat", SETTINGS, version=1, generate=refuse)
    head, tail = line.split("{}")
    assert str(caught.value).startswith(f"{head}{tmp_path}/heat/")
    assert tail in str(caught.value)
    assert str(caught.value).endswith("(generated data for heat)")
    assert "\n" not in str(caught.value)


def test_whole_entry_in_a_folder_that_cannot_be_written_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry(tmp_path)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for function in ("mkdir", "unlink", "write_bytes"):
        monkeypatch.setattr(Path, function, refuse)
    monkeypatch.setattr(os, "rename", refuse)
    assert entry(tmp_path).read_bytes() == CONTENT


def test_without_locks_all_may_generate_and_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*args: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(files.fcntl, "flock", none)
    made = tmp_path / "made"
    pids = [child(lambda: int(entry(tmp_path / "cache", made, nap=0.1).read_bytes() != CONTENT)) for _ in range(4)]
    assert [wait(pid) for pid in pids] == [0] * 4
    assert 1 <= len(made.read_text().splitlines()) <= 4
    assert leftovers(tmp_path / "cache") == []
    with caplog.at_level(logging.WARNING, "sciml"):
        entry(tmp_path / "other")
    assert "cannot be locked (Function not implemented)" in caplog.text


def test_kept_fields_are_bit_for_bit_those_made_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"points": 20, "n_train": 3, "n_val": 2, "n_test": 2, "steps": 2}
    fresh = HeatDataset(**small).splits()
    with placed(tmp_path):
        HeatDataset(**small).splits()
        assert len(list(tmp_path.glob(".data/heat/*/data"))) == 1
        with monkeypatch.context() as patch:
            patch.setattr(HeatDataset, "_make", lambda self: 1 / 0)
            kept = HeatDataset(**small).splits()
            for changed in ({"nu": 0.02}, {"seed": 1}, {"n_val": 3}, {"alpha": 2.0}, {"dt": 0.1}, {"points": 21}):
                with pytest.raises(ZeroDivisionError):  # nothing that the fields depend on is left out
                    HeatDataset(**{**small, **changed}).splits()
    assert list(kept) == list(fresh)
    for split in fresh:
        for mine, theirs in zip(kept[split], fresh[split], strict=True):
            assert torch.equal(mine, theirs)
            assert mine.dtype == theirs.dtype
