"""Sensors between the points of a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.diffusion.measurement.matrix import Matrix
from sciml.diffusion.measurement.sensors import Sensors
from sciml.errors import ConfigError, UsageError

SHAPE = (5, 4, 2)


def sensors(folder: Path, positions: Any, channel: Any = None, **parameters: Any) -> Sensors:
    np.savez(folder / "mine.npz", positions=np.asarray(positions), c=np.array(0 if channel is None else channel))
    given = {"shape": SHAPE, "noise_std": 0.1, "lower": [-1.0, 2.0], "upper": [3.0, 3.5], **parameters}
    return Sensors(path=str(folder / "mine.npz"), channel=None if channel is None else "c", **given)


def test_a_bilinear_field_is_read_exactly_at_any_position_of_its_channel(tmp_path: Path) -> None:
    x, y = np.linspace(-1, 3, 5)[:, None], np.linspace(2, 3.5, 4)
    fields = np.stack([1 + x * y, 7 - 2 * x + y + 0 * x * y], -1)
    where = np.array([[-1, 2], [3, 3.5], [0.3, 2.2], [2.9, 3.1], [1, 2.5]])
    seen = sensors(tmp_path, where, [0, 1, 1, 0, 1])(torch.from_numpy(fields)[None])
    s, t = where.T
    expected = np.where(np.array([0, 1, 1, 0, 1]) == 0, 1 + s * t, 7 - 2 * s + t)
    np.testing.assert_allclose(seen[0], expected)


def test_a_periodic_axis_ends_at_its_beginning(tmp_path: Path) -> None:
    x = torch.tensor([1.0, 2, 3, 5], dtype=torch.float64).reshape(1, 4, 1)
    ring = sensors(tmp_path, [0.0, 0.75, 0.875, 1.0], shape=(4, 1), lower=0.0, upper=1.0, periodic=True)
    torch.testing.assert_close(ring(x), torch.tensor([[1.0, 5, 3, 1]], dtype=torch.float64))


@pytest.mark.parametrize("kind", ["sensors", "matrix"])
def test_the_adjoint_passes_the_dot_test(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    where = np.array([-1.0, 2.0]) + rng.uniform(size=(7, 2)) * [4, 1.5]
    measurement = sensors(tmp_path, where, rng.integers(0, 2, 7))
    if kind == "matrix":
        np.savez(tmp_path / "a.npz", A=rng.standard_normal((7, 40)))
        measurement = Matrix(shape=SHAPE, path=str(tmp_path / "a.npz"), noise_std=0.1)
    x, y = torch.from_numpy(rng.standard_normal((3, *SHAPE))), torch.from_numpy(rng.standard_normal((3, 7)))
    left, right = (measurement(x) * y).sum(1), (x * measurement.adjoint(y)).flatten(1).sum(1)
    torch.testing.assert_close(left, right)
    assert left.abs().min() > 1e-3


def test_a_matrix_takes_entries_in_the_order_of_a_field(tmp_path: Path) -> None:
    a = np.zeros((1, 40))
    a[0, 1 * 8 + 2 * 2 + 1] = 3.0
    np.save(tmp_path / "A.npy", a)
    x = torch.randn(1, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert Matrix(shape=SHAPE, path=str(tmp_path / "A.npy"), noise_std=0.1)(x).item() == 3 * x[0, 1, 2, 1].item()
    with pytest.raises(UsageError, match=r"shape \(1, 40\), expected \(m, 20\)"):
        Matrix(shape=(5, 4, 1), path=str(tmp_path / "A.npy"), noise_std=0.1)


@pytest.mark.parametrize(
    ("positions", "parameters", "says"),
    [
        ([[0.0, 2.0], [4.0, 3.0]], {}, "axis 0: 4 at row 1 is outside of the grid, which goes from -1 to 3"),
        ([0.0, 2.0], {}, r"shape \(2,\), expected \(m, 2\)"),
        ([[0.0, 2.0]], {"channel": [2]}, "expected 1 channels, one for each position, out of 0 to 1"),
        ([[0.0, np.nan]], {}, r"the number at \[0, 1\] is not finite"),
    ],
)
def test_impossible_positions_are_refused(tmp_path: Path, positions: Any, parameters: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        sensors(tmp_path, positions, **parameters)
    with pytest.raises(ConfigError, match="must be the larger"):
        sensors(tmp_path, [[0.0, 2.0]], upper=[-1.0, 3.0])
