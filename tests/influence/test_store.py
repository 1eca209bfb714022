from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from network_task import Given, given, mlp, parameters, pooled

import sciml.influence.kronecker.attributor as attributor
from sciml.errors import RunError
from sciml.influence.attributor.ekfac import EKFAC
from sciml.influence.attributor.kfac import KFAC
from sciml.influence.store import key


def small(**options: object) -> Given:
    torch.manual_seed(0)
    return given(mlp(4, 5, 3), 3, 4, n=11, **options)  # type: ignore[arg-type]


def refuse(*_: object) -> None:
    raise AssertionError("the training pass is made again")


def entry(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


@pytest.mark.parametrize("make", [small, pooled])
def test_scores_from_the_store_are_those_from_memory_for_any_queries(
    make: Callable[[], Given], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make()
    params = parameters(task)
    expected = EKFAC(batch_size=4)(task, params)
    stored = EKFAC(batch_size=4, store=str(tmp_path))
    assert torch.equal(stored(task, params), expected)
    assert len(list(entry(tmp_path).glob("shard-*.pt"))) == -(-task.n_train // 4)
    task.x_query, task.y_query = task.x_query.flip(0) * 2, task.y_query.flip(0)
    task.mask_query = None if task.mask_query is None else task.mask_query.flip(0)
    expected = EKFAC(batch_size=4, damping=0.3)(task, params)
    monkeypatch.setattr(attributor, "build", refuse)
    again = EKFAC(batch_size=4, damping=0.3, store=str(tmp_path))(task, params)
    assert torch.equal(again, expected)


def test_the_key_depends_on_all_that_the_entry_depends_on() -> None:
    task = small()
    params = parameters(task)
    recipe = EKFAC().recipe
    keys = {key(task, params, recipe), key(task, params, KFAC().recipe), key(task, params, EKFAC(samples=9).recipe)}
    keys.add(key(task, {name: p + 1e-12 for name, p in params.items()}, recipe))
    torch.manual_seed(1)
    keys.add(key(task, params, recipe))
    torch.manual_seed(0)
    for change in (lambda t: t.x.add_(1), lambda t: t.y.sub_(t.y)):
        other = small()
        change(other)
        keys.add(key(other, params, recipe))
    assert len(keys) == 7
    assert key(small(), params, recipe) in keys
    assert key(task, params, EKFAC(damping=0.7, rank=2).recipe) in keys


@pytest.mark.parametrize("file", ["shard-0001.pt", "curvature.pt", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_damaged_file_is_named(file: str, damage: str, tmp_path: Path) -> None:
    task = small()
    params = parameters(task)
    method = EKFAC(batch_size=4, store=str(tmp_path))
    method(task, params)
    path = entry(tmp_path) / file
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 255
        path.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    if file == "manifest.json" and damage == "flip":
        path.write_text(json.dumps({"files": []}))
    with pytest.raises(RunError, match=rf"{file}.* damaged or missing"):
        method(task, params)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write the influence store .*file"):
        EKFAC(store=str(tmp_path / "file" / "store"))(small(), parameters(small()))


def test_an_interrupted_entry_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fails)
    with pytest.raises(RunError, match="No space left"):
        EKFAC(store=str(tmp_path))(small(), parameters(small()))
    assert list(tmp_path.iterdir()) == []
