"""Files to the published layouts; what comes out is compared with what went in, axis by axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from sciml.errors import RunError, UsageError
from sciml.operator.source.pdebench import PDEBench

ALL = (slice(None),)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def write(path: Path, **datasets: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name.replace("_", "-") if name.endswith("coordinate") else name] = values
    return path


def cells(points: int) -> np.ndarray:
    return (np.arange(points, dtype=np.float32) + 0.5) / points


def test_scalar_in_one_dimension_with_one_time_too_many(tmp_path: Path) -> None:
    """As in ``1D_Burgers_Sols_Nu0.01.hdf5``: 201 states, 202 times."""
    u = numbers(5, 4, 8)
    path = write(tmp_path / "burgers.hdf5", tensor=u, x_coordinate=cells(8), t_coordinate=np.linspace(0, 2, 5))
    found = PDEBench(path=str(path), periodic=True).read()
    assert found.states.shape == (5, 4, 8, 1)
    np.testing.assert_array_equal(found.states[ALL][..., 0], u)
    np.testing.assert_array_equal(
        found.states[slice(1, 4, 2), slice(0, 4, 3), slice(1, None, 3)][..., 0], u[1:4:2, ::3, 1::3]
    )
    np.testing.assert_allclose(found.times, [0, 0.5, 1, 1.5])
    np.testing.assert_allclose(found.coordinates[0], cells(8))
    assert found.coefficients is None
    assert found.periodic == (True,)
    found.close()


def test_darcy_flow_is_computed_from_nu(tmp_path: Path) -> None:
    nu, u = numbers(3, 4, 6), numbers(3, 1, 4, 6)
    path = write(tmp_path / "darcy.hdf5", nu=nu, tensor=u, x_coordinate=cells(4), y_coordinate=cells(6))
    found = PDEBench(path=str(path), periodic=False).read()
    assert found.coefficients is not None
    np.testing.assert_array_equal(found.coefficients[slice(0, 2), slice(None), slice(0, 6, 2)], nu[:2, :, ::2, None])
    np.testing.assert_array_equal(found.states[ALL], u[..., None])
    assert found.times is None
    assert found.periodic == (False, False)
    assert not found.ends
    found.close()


def test_fields_of_a_flow_are_channels_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    parts = {name: numbers(2, 3, 4, 6) + k for k, name in enumerate(("Vx", "Vy", "density", "pressure"))}
    axes = {"x_coordinate": cells(4), "y_coordinate": cells(6), "t_coordinate": np.arange(3.0)}
    path = write(tmp_path / "2D_CFD.hdf5", **parts, **axes)
    by_name = PDEBench(path=str(path), periodic=[True, False]).read()
    np.testing.assert_array_equal(by_name.states[ALL], np.stack(list(parts.values()), axis=-1))
    assert by_name.periodic == (True, False)
    chosen = PDEBench(path=str(path), periodic=True, fields=["pressure", "Vx"]).read()
    np.testing.assert_array_equal(
        chosen.states[slice(1, 2), slice(0, 3, 2)], np.stack([parts["pressure"], parts["Vx"]], axis=-1)[1:2, ::2]
    )
    by_name.close()
    chosen.close()


@pytest.mark.parametrize("grid", [(4, 5), (6,)])
def test_groups_of_samples(tmp_path: Path, grid: tuple[int, ...]) -> None:
    """``2D_diff-react_NA_NA.h5`` with two channels, ``1D_diff-sorp_NA_NA.h5`` with one space axis."""
    u = numbers(12, 3, *grid, 2)
    path = tmp_path / "groups.h5"
    with h5py.File(path, "w") as file:
        for i, sample in enumerate(u):
            file.create_dataset(f"{i:04d}/data", data=sample, compression="lzf")
            file[f"{i:04d}/grid/t"] = np.arange(3.0)
            for axis, points in zip("xy", grid, strict=False):
                file[f"{i:04d}/grid/{axis}"] = cells(points)
    found = PDEBench(path=str(path), periodic=False).read()
    assert found.states.shape == u.shape
    np.testing.assert_array_equal(found.states[ALL], u)
    np.testing.assert_array_equal(found.states[slice(3, 11, 3), slice(2, 3)], u[3:11:3, 2:3])
    assert found.states[slice(4, 4), slice(None)].shape == (0, *u.shape[1:])
    assert len(found.coordinates) == len(grid)
    found.close()


Change = Callable[[h5py.File], None]


def remove(name: str) -> Change:
    return lambda file: file.__delitem__(name)


def replace(name: str, values: np.ndarray) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = values

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (remove("x-coordinate"), r"tensor: float32 \(3, 2, 4, 6\), expected numbers \(n, times, x\)"),
        (replace("tensor", np.zeros((3, 2, 4))), r"tensor: float64 \(3, 2, 4\), expected numbers \(n, times, x, y\)"),
        (replace("tensor", np.zeros((3, 2, 4, 6), dtype="S3")), r"tensor: \|S3 .*expected numbers"),
        (replace("nu", np.zeros((3, 6, 4))), r"nu: shape \(3, 6, 4\), expected \(3, 4, 6\)"),
        (replace("y-coordinate", np.arange(5.0)), r"y-coordinate: shape \(5,\), expected \(6,\)"),
        (replace("t-coordinate", np.arange(4.0)), r"t-coordinate: shape \(4,\), expected \(2,\)"),
        (replace("t-coordinate", np.zeros(2)), "t-coordinate: a coordinate must increase"),
        (remove("t-coordinate"), r"t-coordinate: no such dataset, expected \(2,\); there is nu, tensor"),
    ],
)
def test_another_shape_is_one_line(tmp_path: Path, change: Change, says: str) -> None:
    axes = {"x_coordinate": cells(4), "y_coordinate": cells(6), "t_coordinate": np.arange(2.0)}
    path = write(tmp_path / "file.hdf5", nu=numbers(3, 4, 6), tensor=numbers(3, 2, 4, 6), **axes)
    with h5py.File(path, "a") as file:
        change(file)
        if "x-coordinate" not in file:
            file.move("y-coordinate", "x-coordinate")
    with pytest.raises(UsageError, match=rf"^[^\n]*file.hdf5: {says}") as caught:
        PDEBench(path=str(path), periodic=True).read()
    assert "\n" not in str(caught.value)
    with h5py.File(path, "a"):  # a file that was refused is not kept open
        pass


def test_no_file_no_hdf5_and_a_file_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "u.hdf5"
    with pytest.raises(UsageError, match=r"there is no file .*u\.hdf5"):
        PDEBench(path=str(path), periodic=True).read()
    path.write_bytes(b"<html>404</html>")
    with pytest.raises(UsageError, match=r"u\.hdf5: no HDF5 file"):
        PDEBench(path=str(path), periodic=True).read()
    write(path, tensor=numbers(50, 4, 64), x_coordinate=cells(64), t_coordinate=np.arange(4.0))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(UsageError, match=r"u\.hdf5: an HDF5 file that cannot be opened; it is cut off"):
        PDEBench(path=str(path), periodic=True).read()


def test_numbers_that_are_not_finite_and_damaged_chunks_are_found_when_they_are_read(tmp_path: Path) -> None:
    u = numbers(6, 2, 64)
    u[4, 1, 7] = np.nan
    path = tmp_path / "u.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("tensor", data=u, chunks=(1, 2, 64), compression="gzip", fletcher32=True)
        file["x-coordinate"], file["t-coordinate"] = cells(64), np.arange(2.0)
        offset = file["tensor"].id.get_chunk_info(2).byte_offset
    with open(path, "r+b") as raw:
        raw.seek(offset + 20)
        raw.write(b"garbage")
    found = PDEBench(path=str(path), periodic=True).read()
    np.testing.assert_array_equal(found.states[slice(0, 2), slice(None)][..., 0], u[:2])
    with pytest.raises(RunError, match=r"u\.hdf5: tensor cannot be read: the file is damaged or cut off"):
        found.states[slice(0, 4), slice(None)]
    with pytest.raises(RunError, match=r"u\.hdf5: tensor holds numbers that are not finite.* at \[4, 1, 7\]"):
        found.states[slice(3, 6), slice(None), slice(1, 64, 3)]
    found.close()
