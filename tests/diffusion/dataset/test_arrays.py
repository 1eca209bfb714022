"""A researcher's own fields: each in one split, in the unit that is asked for."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from sciml.diffusion.dataset.arrays import Arrays
from sciml.errors import ConfigError, RunError, UsageError


def made(folder: Path, form: str, **arrays: np.ndarray) -> str:
    if form == "npz":
        np.savez(folder / "mine.npz", **arrays)
        return str(folder / "mine.npz")
    with h5py.File(folder / "mine.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return str(folder / "mine.h5")


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


SMALL = {"n_train": 5, "n_val": 2, "n_test": 3, "periodic": False}


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_every_field_is_in_one_split_and_in_its_unit(tmp_path: Path, form: str) -> None:
    a, u = numbers(10, 4, 6), numbers(10, 4, 6) + 3
    path = made(tmp_path, form, a=a, u=u)
    data = Arrays(path=path, fields=["a", "u"], scale=[2.0, 0.5], offset=[0.0, 3.0], **SMALL)
    assert (data.shape, data.names, data.periodic) == ((4, 6, 2), ("a", "u"), (False, False))
    splits = data.splits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 5, "val": 2, "test": 3}
    together = torch.cat(list(splits.values()))
    expected = torch.from_numpy(np.stack([a / 2, (u - 3) / 0.5], axis=-1)).float()
    order = together[:, 0, 0, 0].argsort()
    assert torch.equal(together[order], expected[expected[:, 0, 0, 0].argsort()])
    again = Arrays(path=path, fields=["a", "u"], **SMALL, seed=1).splits()["test"]
    assert not torch.equal(again[..., 0], 2 * splits["test"][..., 0])


def test_in_the_order_of_the_file_the_test_is_first(tmp_path: Path) -> None:
    u = numbers(10, 5, 2)
    data = Arrays(path=made(tmp_path, "npz", u=u), fields=["u"], channel_axis=True, seed=None, **SMALL)
    assert (data.shape, data.names) == ((5, 2), ("u0", "u1"))
    splits = data.splits()
    for name, rows in (("test", slice(0, 3)), ("val", slice(3, 5)), ("train", slice(5, 10))):
        assert torch.equal(splits[name], torch.from_numpy(u[rows]).float())


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        ({"n_train": 6}, ConfigError, "has 10 fields, fewer than n_train"),
        ({"limit": 1e-7}, ConfigError, "dataset.limit"),
        ({"fields": []}, ConfigError, "dataset.fields is empty"),
        ({"names": ["p", "q"]}, ConfigError, "dataset.names has 2 entries, not 1"),
        ({"periodic": [True]}, ConfigError, "dataset.periodic has 1 entries, not 2"),
        ({"scale": [1.0, 2.0]}, ConfigError, "dataset.scale has 2 entries, not 1"),
        ({"fields": ["v"]}, UsageError, "no array v; there is bad, s, u"),
        ({"fields": ["u", "s"]}, UsageError, r"s: shape \(10, 3, 4\), expected \(n, \*grid\) alike \(10, 3, 5\)"),
        ({"fields": ["s"], "channel_axis": True, "periodic": [True, False]}, ConfigError, "dataset.periodic has 2"),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, asked: dict[str, Any], kind: type[Exception], says: str) -> None:
    bad = numbers(10, 3, 5)
    bad[7, 1, 1] = np.nan
    path = made(tmp_path, "npz", u=numbers(10, 3, 5), s=numbers(10, 3, 4), bad=bad)
    with pytest.raises(kind, match=says):
        Arrays(**{"path": path, "fields": ["u"], **SMALL, **asked})
    with pytest.raises(RunError, match="bad: a number that is not finite"):
        Arrays(path=path, fields=["bad"], **SMALL).splits()


def test_fields_far_from_the_size_of_priors_are_said_with_what_would_bring_them_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = made(tmp_path, "npz", a=300 + 20 * numbers(10, 4, 6), u=numbers(10, 4, 6))
    Arrays(path=path, fields=["a", "u"], **SMALL).splits()
    (line,) = caplog.messages
    assert re.search(r"a has numbers of size 3e\+02 after .*offset=(29|30)\d diffusion.dataset.scale=(1|2)\d\.", line)
    caplog.clear()
    Arrays(path=path, fields=["a", "u"], offset=[300.0, 0.0], scale=[20.0, 1.0], **SMALL).splits()
    assert not caplog.messages
