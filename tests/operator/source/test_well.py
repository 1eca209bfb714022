"""Files to The Well's published specification, every kind of field in them.

What the reader makes of files of the project's own writer (``the_well.utils.dummy_data``, version 1.2.0) was compared
with what the project's own ``WellDataset`` makes of them: frames, channels and constant fields were equal.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sciml.errors import UsageError
from sciml.operator.source.well import Well

ALL = (slice(None),)
N, T, W, H = 3, 5, 4, 6


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


FIELDS = {
    "t0_fields/density": (numbers(N, T, W, H), {"sample_varying": True, "time_varying": True, "dim_varying": [1, 1]}),
    "t0_fields/forcing": (numbers(T, H), {"sample_varying": False, "time_varying": True, "dim_varying": [0, 1]}),
    "t0_fields/speed": (numbers(N, W, H), {"sample_varying": True, "time_varying": False, "dim_varying": [1, 1]}),
    "t0_fields/depth": (numbers(W, 1), {"sample_varying": False, "time_varying": False, "dim_varying": [1, 0]}),
    "t1_fields/velocity": (numbers(N, T, W, H, 2), {"sample_varying": 1, "time_varying": 1, "dim_varying": [1, 1]}),
    "t2_fields/strain": (numbers(N, T, W, H, 2, 2), {"sample_varying": 1, "time_varying": 1, "dim_varying": [1, 1]}),
}


def write(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs.update(
            {"dataset_name": "example", "grid_type": "cartesian", "n_spatial_dims": 2, "n_trajectories": N}
        )
        sizes = {"time": T, "x": W, "y": H}
        dimensions = file.create_group("dimensions")
        dimensions.attrs["spatial_dims"] = ["x", "y"]
        for name, size in sizes.items():
            dimensions[name] = np.linspace(0, 1, size, dtype=np.float32)
            dimensions[name].attrs["sample_varying"] = False
        for name, kind, dims in (("x_periodic", "PERIODIC", ["x"]), ("y_wall", "WALL", ["y"])):
            file.create_group(f"boundary_conditions/{name}").attrs.update({"bc_type": kind, "associated_dims": dims})
        for order in range(3):
            group = file.create_group(f"t{order}_fields")
            group.attrs["field_names"] = [name.split("/")[1] for name in FIELDS if name.startswith(group.name[1:])]
        for name, (values, attributes) in FIELDS.items():
            file[name] = values
            file[name].attrs.update(attributes)
        scalars = {
            "nu": (np.float32(0.25), False, False),
            "Ra": (numbers(N), True, False),
            "g": (numbers(T), False, True),
        }
        file.create_group("scalars").attrs["field_names"] = list(scalars)
        for name, (values, by_sample, by_time) in scalars.items():
            file[f"scalars/{name}"] = values
            file[f"scalars/{name}"].attrs.update({"sample_varying": by_sample, "time_varying": by_time})
    return path


def test_states_are_scalars_then_vectors_then_tensors(tmp_path: Path) -> None:
    found = Well(path=str(write(tmp_path / "a.hdf5"))).read()
    density, forcing, velocity, strain = (
        FIELDS[name][0] for name in ("t0_fields/density", "t0_fields/forcing", "t1_fields/velocity", "t2_fields/strain")
    )
    states = found.states[ALL]
    assert states.shape == found.states.shape == (N, T, W, H, 8)
    np.testing.assert_array_equal(states[..., 0], density)
    np.testing.assert_array_equal(states[..., 1], np.broadcast_to(forcing[None, :, None, :], density.shape))
    np.testing.assert_array_equal(states[..., 2:4], velocity)
    for k, (i, j) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        np.testing.assert_array_equal(states[..., 4 + k], strain[..., i, j])
    index = (slice(1, 2), slice(0, 5, 2), slice(0, 4, 3), slice(1, 6, 2))
    np.testing.assert_array_equal(found.states[index], states[index])
    np.testing.assert_allclose(found.times, np.linspace(0, 1, T), rtol=1e-6)
    assert found.periodic == (True, False)
    found.close()


def test_what_does_not_vary_in_time_is_a_coefficient(tmp_path: Path) -> None:
    found = Well(path=str(write(tmp_path / "a.hdf5")), fields=["velocity"], scalars=["nu", "Ra"]).read()
    assert found.states.shape[-1] == 2
    assert found.coefficients is not None
    given = found.coefficients[ALL]
    assert given.shape == found.coefficients.shape == (N, W, H, 4)
    np.testing.assert_array_equal(given[..., 0], FIELDS["t0_fields/speed"][0])
    np.testing.assert_array_equal(given[..., 1], np.broadcast_to(FIELDS["t0_fields/depth"][0], (N, W, H)))
    assert (given[..., 2] == 0.25).all()
    np.testing.assert_array_equal(given[:, 2, 3, 3], numbers(N))
    np.testing.assert_array_equal(found.coefficients[slice(1, 2), slice(0, 4, 3)], given[1:2, ::3])
    found.close()


def test_files_of_a_folder_follow_one_another_by_name(tmp_path: Path) -> None:
    write(tmp_path / "b.hdf5")
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["t0_fields/density"][...] += 10
    found = Well(path=str(tmp_path), fields=["density"]).read()
    density = FIELDS["t0_fields/density"][0]
    both = np.concatenate([density + 10, density])[..., None]
    np.testing.assert_array_equal(found.states[ALL], both)
    np.testing.assert_array_equal(found.states[slice(0, 6, 2), slice(1, 3)], both[::2, 1:3])
    found.close()
    with h5py.File(tmp_path / "b.hdf5", "a") as file:
        file["boundary_conditions/x_periodic"].attrs["bc_type"] = "OPEN"
    with pytest.raises(
        UsageError, match=r"b\.hdf5: periodic axes \(False, False\), expected \(True, False\) as in .*a\.h5"
    ):
        Well(path=str(tmp_path)).read()


def attribute(name: str, key: str, value: Any) -> Callable[[h5py.File], None]:
    return lambda file: file[name].attrs.__setitem__(key, value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda file: file.__delitem__("t2_fields"), "no group t2_fields, which the format"),
        (lambda file: file.__delitem__("t1_fields/velocity"), "t1_fields/velocity: no such dataset"),
        (lambda file: file.attrs.__delitem__("n_trajectories"), "has no attribute n_trajectories"),
        (attribute("/", "n_trajectories", 4), r"density: shape \(3, 5, 4, 6\), expected \(4, 5, 4, 6\)"),
        (attribute("t0_fields/speed", "sample_varying", False), r"speed: shape \(3, 4, 6\), expected \(4, 6\)"),
        (attribute("t0_fields/speed", "dim_varying", [True]), "speed: attribute dim_varying has 1 entries, expected 2"),
        (lambda file: file["scalars"].__delitem__("nu"), "scalars/nu: no such dataset"),
        (attribute("scalars/nu", "time_varying", True), "scalars/nu: this scalar varies in time"),
    ],
)
def test_another_layout_is_one_line(tmp_path: Path, change: Callable[[h5py.File], None], says: str) -> None:
    path = write(tmp_path / "file.hdf5")
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(UsageError, match=rf"^[^\n]*file\.hdf5: [^\n]*{says}"):
        Well(path=str(path), scalars=["nu"]).read()


def test_an_empty_folder_and_an_unknown_field(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.hdf5 or \.h5 file in this folder"):
        Well(path=str(tmp_path)).read()
    write(tmp_path / "a.hdf5")
    with pytest.raises(UsageError, match="no field vorticity that varies in time; there is density, forcing, velocity"):
        Well(path=str(tmp_path), fields=["vorticity"]).read()
