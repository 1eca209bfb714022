from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mat_files import VERSIONS, write

from sciml.data.mat import shapes, variables
from sciml.errors import UsageError

NUMBERS = np.random.default_rng(0).standard_normal((5, 3, 4, 2))


@pytest.mark.parametrize("version", VERSIONS)
def test_rows_of_a_variable(tmp_path: Path, version: str) -> None:
    path = Path(write(tmp_path / "f.mat", version, u=NUMBERS, a=NUMBERS[..., 0]))
    assert shapes(path, ["a", "u"]) == {"a": (5, 3, 4), "u": (5, 3, 4, 2)}
    found, close = variables(path, ["u"])
    np.testing.assert_array_equal(found["u"].rows(1, 4), NUMBERS[1:4])
    for last in (0, 1, -1):
        np.testing.assert_array_equal(found["u"].rows(1, 4, last=last), NUMBERS[1:4, ..., last])
    close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_variable_that_is_missing_or_holds_no_numbers_is_named(tmp_path: Path, version: str) -> None:
    path = Path(write(tmp_path / "f.mat", version, u=NUMBERS, words=np.array([b"some", b"words"])))
    for name in ("v", "words"):
        with pytest.raises(UsageError, match=rf"f\.mat: no variable {name} of numbers"):
            shapes(path, [name])
        with pytest.raises(UsageError, match=rf"f\.mat: no variable {name} of numbers"):
            variables(path, [name])


def test_what_is_read_at_once_has_a_limit(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "f.mat", "7", u=NUMBERS, other=np.zeros(1000)))
    gib = NUMBERS.nbytes / 2**30
    variables(path, ["u"], largest=1.01 * gib)
    with pytest.raises(UsageError, match=r"f\.mat: u take 8\.94e-07 GiB, .* more than 8\.85.*; save .* version 7\.3"):
        variables(path, ["u"], largest=0.99 * gib)
    new = Path(write(tmp_path / "new.mat", "7.3", u=NUMBERS))
    variables(new, ["u"], largest=0.99 * gib)[1]()
