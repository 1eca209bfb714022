"""A researcher's own arrays, whatever the order of their axes and the format of their file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciml.errors import ConfigError, UsageError
from sciml.operator.source.arrays import Arrays

ALL = (slice(None),)


def to_npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(folder / "mine.npz", **arrays)
    return folder / "mine.npz"


def to_npy(folder: Path, **arrays: np.ndarray) -> Path:
    (folder / "mine").mkdir()
    for name, array in arrays.items():
        np.save(folder / "mine" / f"{name}.npy", array)
    return folder / "mine"


def to_hdf5(folder: Path, **arrays: np.ndarray) -> Path:
    with h5py.File(folder / "mine.h5", "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return folder / "mine.h5"


FORMATS = [to_npz, to_npy, to_hdf5]
Write = Callable[..., Path]


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


@pytest.mark.parametrize("write", FORMATS)
def test_axes_go_where_they_belong(tmp_path: Path, write: Write) -> None:
    u, a, t = numbers(5, 3, 4, 6, 2), numbers(4, 6, 3), np.array([0.0, 0.5, 2, 3, 4])
    path = write(tmp_path, u=u, a=a, t=t, y=np.arange(6) ** 2.0)
    source = Arrays(
        path=str(path),
        states="u",
        axes=["t", "n", "x", "y", "c"],
        coefficients="a",
        coefficient_axes=["x", "y", "n"],
        times="t",
        periodic=[True, False],
        length=[2.0, 1.0],
    )
    found = source.read()
    expected = u.transpose(1, 0, 2, 3, 4).astype(np.float32)
    assert found.states.shape == (3, 5, 4, 6, 2)
    np.testing.assert_array_equal(found.states[ALL], expected)
    index = (slice(1, 3), slice(0, 5, 2), slice(0, 4, 3), slice(1, 6, 2))
    np.testing.assert_array_equal(found.states[index], expected[index])
    assert found.coefficients is not None
    np.testing.assert_array_equal(found.coefficients[ALL], a.transpose(2, 0, 1)[..., None].astype(np.float32))
    np.testing.assert_array_equal(found.times, t)
    np.testing.assert_allclose(found.coordinates[0], [0, 0.5, 1, 1.5])  # closes at 2
    np.testing.assert_allclose(found.coordinates[1], np.linspace(0, 1, 6))
    assert found.periodic == (True, False)
    found.close()


@pytest.mark.parametrize("write", FORMATS)
def test_one_state_a_sample_and_coordinates_of_the_file(tmp_path: Path, write: Write) -> None:
    u, x = numbers(3, 7), np.sort(numbers(7))
    found = Arrays(
        path=str(write(tmp_path, u=u, x=x)), states="u", axes=["n", "x"], coordinates=["x"], periodic=False
    ).read()
    np.testing.assert_array_equal(found.states[ALL], u[:, None, :, None].astype(np.float32))
    np.testing.assert_array_equal(found.coordinates[0], x)
    assert (found.times, found.coefficients) == (None, None)
    found.close()


def test_centres_of_cells(tmp_path: Path) -> None:
    path = to_npz(tmp_path, u=numbers(2, 4))
    found = Arrays(path=str(path), states="u", axes=["n", "x"], periodic=False, ends=False, length=2.0).read()
    np.testing.assert_allclose(found.coordinates[0], [0.25, 0.75, 1.25, 1.75])


@pytest.mark.parametrize("write", FORMATS)
@pytest.mark.parametrize(
    ("arrays", "asked", "says"),
    [
        ({"v": (3, 5)}, {}, "no array u.*; there is v"),
        ({"u": (3, 5, 2)}, {}, r"u: shape \(3, 5, 2\), expected \(n, x\)"),
        ({"u": (3, 5), "a": (3, 4)}, {"coefficients": "a"}, r"a: 3 samples of \(4,\) points, expected 3 of \(5,\)"),
        ({"u": (3, 5), "x": (4,)}, {"coordinates": ["x"]}, r"x: shape \(4,\), expected \(5,\)"),
        ({"u": (3, 5), "x": ()}, {"coordinates": ["x"]}, r"x: shape \(\), expected \(5,\)"),
    ],
)
def test_what_the_file_lacks(
    tmp_path: Path, write: Write, arrays: dict[str, tuple[int, ...]], asked: dict[str, Any], says: str
) -> None:
    path = write(tmp_path, **{name: np.ones(shape) for name, shape in arrays.items()})
    with pytest.raises(UsageError, match=says) as raised:
        Arrays(path=str(path), states="u", axes=["n", "x"], periodic=False, **asked).read()
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    def read(path: Path, **asked: Any) -> None:
        Arrays(path=str(path), states="u", axes=["n", "x"], periodic=False, **asked).read()

    whole = to_npz(tmp_path, u=numbers(30, 50)).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole[:200] + bytes([whole[200] ^ 255]) + whole[201:])
    np.save(tmp_path / "one", numbers(3, 4))
    (tmp_path / "one.npy").rename(tmp_path / "one.npz")
    with pytest.raises(UsageError, match=r"one array; call the file \.npy"):
        read(tmp_path / "one.npz")
    (tmp_path / "text.npy").write_text("u\n1\n")
    np.savez(tmp_path / "objects.npz", u=np.array([[{}]], dtype=object))
    np.save(tmp_path / "u.npy", numbers(30, 50))
    cut = (tmp_path / "u.npy").read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "u.npy").write_bytes(cut[: len(cut) // 2])
    for name in ("half.npz", "flipped.npz", "objects.npz", "cut"):
        with pytest.raises(UsageError, match=f"{name}.*numbers, or one that is cut off"):
            read(tmp_path / name)
    with pytest.raises(UsageError, match=r"text.npy: no array u; there is text"):
        read(tmp_path / "text.npy")
    with pytest.raises(UsageError, match=r"there is no file .*none.npz"):
        read(tmp_path / "none.npz")
    read(tmp_path / "u.npy")
    falling = to_hdf5(tmp_path, u=numbers(3, 4), x=-np.arange(4.0))
    with pytest.raises(UsageError, match="x must increase"):
        read(falling, coordinates=["x"])


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"axes": ["n", "y"]}, "source.axes is"),
        ({"axes": ["n", "x", "x"]}, "source.axes is"),
        ({"axes": ["x", "t"]}, "source.axes is"),
        ({"axes": ["n", "x"], "times": "t"}, "no axis of source.axes is t"),
        ({"axes": ["n", "x"], "coefficient_axes": ["n", "x", "y"]}, "source.coefficient_axes is"),
        ({"axes": ["n", "x", "y"], "periodic": [True]}, "source.periodic has 1 entries"),
        ({"axes": ["n", "x"], "coordinates": ["x", "y"]}, "source.coordinates has 2 entries"),
    ],
)
def test_axes_that_no_grid_has(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Arrays(**{"path": "mine.npz", "states": "u", "periodic": False, **asked})
