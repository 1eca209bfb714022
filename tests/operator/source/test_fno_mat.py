"""Files of both formats of MATLAB's, of the layouts that are published."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from mat_files import VERSIONS, write

from sciml.errors import UsageError
from sciml.operator.source.fno_mat import FNOMat

ALL = (slice(None),)


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape)


@pytest.mark.parametrize("version", VERSIONS)
def test_navier_stokes_has_its_times_last(tmp_path: Path, version: str) -> None:
    u, a, t = numbers(3, 4, 6, 5), numbers(3, 4, 6), np.arange(1.0, 6.0)[None]
    path = write(tmp_path / "ns.mat", version, u=u, a=a, t=t)
    found = FNOMat(path=path, states="u", coefficients="a", times="t", periodic=True).read()
    expected = u.transpose(0, 3, 1, 2)[..., None].astype(np.float32)
    assert found.states.shape == expected.shape
    np.testing.assert_array_equal(found.states[ALL], expected)
    index = (slice(1, 3), slice(0, 5, 2), slice(0, 4, 2), slice(1, 6, 3))
    np.testing.assert_array_equal(found.states[index], expected[index])
    assert found.coefficients is not None
    np.testing.assert_array_equal(
        found.coefficients[slice(0, 3, 2), slice(2, 4)], a[::2, 2:4, :, None].astype(np.float32)
    )
    np.testing.assert_array_equal(found.times, [1, 2, 3, 4, 5])
    np.testing.assert_allclose(found.coordinates[1], np.arange(6) / 6)
    found.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_darcy_flow_has_both_ends(tmp_path: Path, version: str) -> None:
    coeff, sol = numbers(3, 5, 5), numbers(3, 5, 5)
    found = FNOMat(path=write(tmp_path / "darcy.mat", version, coeff=coeff, sol=sol)).read()
    np.testing.assert_array_equal(found.states[ALL], sol[:, None, ..., None].astype(np.float32))
    assert found.coefficients is not None
    np.testing.assert_array_equal(found.coefficients[ALL], coeff[..., None].astype(np.float32))
    np.testing.assert_allclose(found.coordinates[0], [0, 0.25, 0.5, 0.75, 1])
    assert found.ends
    assert found.times is None
    found.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("variables", "asked", "says"),
    [
        ({"sol": (3, 5)}, {}, "no variable coeff"),
        ({"sol": (3, 5), "coeff": (3, 4)}, {}, r"coeff: shape \(3, 4\), expected \(3, 5\)"),
        (
            {"sol": (3, 5), "t": (1, 4)},
            {"coefficients": None, "times": "t"},
            r"sol: shape \(3, 5\), expected \(n, \*grid",
        ),
        (
            {"sol": (3, 6, 5), "t": (1, 4)},
            {"coefficients": None, "times": "t"},
            r"t: shape \(1, 4\), expected \(1, 5\)",
        ),
    ],
)
def test_another_shape_is_one_line(tmp_path: Path, version: str, variables: dict, asked: dict, says: str) -> None:
    path = write(tmp_path / "f.mat", version, **{name: numbers(*shape) for name, shape in variables.items()})
    with pytest.raises(UsageError, match=rf"^[^\n]*f\.mat: {says}"):
        FNOMat(path=path, **asked).read()


def test_no_file_another_file_and_one_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "f.mat"
    with pytest.raises(UsageError, match=r"there is no file .*f\.mat"):
        FNOMat(path=str(path)).read()
    path.write_bytes(b"<html>" * 100)
    with pytest.raises(UsageError, match=r"f\.mat: no MATLAB file, or one that is cut off"):
        FNOMat(path=str(path)).read()
    for version, size in (("7", 3000), ("7.3", 3000)):
        write(path, version, coeff=numbers(30, 9, 9), sol=numbers(30, 9, 9))
        path.write_bytes(path.read_bytes()[:-size])
        with pytest.raises(UsageError, match=r"f\.mat: .* cut off"):
            FNOMat(path=str(path)).read()


def test_scipy_is_asked_for_only_where_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {"coeff": numbers(3, 5, 5), "sol": numbers(3, 5, 5)}
    old, new = write(tmp_path / "old.mat", "7", **variables), write(tmp_path / "new.mat", "7.3", **variables)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    FNOMat(path=new).read().close()
    with pytest.raises(UsageError, match=r"old\.mat: .* need SciPy: pip install 'sciml\[mat\]'"):
        FNOMat(path=old).read()
