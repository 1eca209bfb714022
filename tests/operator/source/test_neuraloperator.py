"""The files that neuraloperator 0.3.0 carries, and what is not one of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sciml.errors import UsageError
from sciml.operator.source.neuraloperator import NeuralOperator

ALL = (slice(None),)


def test_the_tests_are_the_same_samples_on_two_grids() -> None:
    coarse, fine = (NeuralOperator(file=f"darcy_test_{points}.pt").read() for points in (16, 32))
    every_other = (slice(None), slice(None), slice(None, None, 2), slice(None, None, 2))
    assert coarse.states.shape == (50, 1, 16, 16, 1)
    np.testing.assert_array_equal(fine.states[every_other], coarse.states[ALL])
    np.testing.assert_array_equal(fine.coordinates[0][::2], coarse.coordinates[0])
    assert fine.coefficients is not None
    assert set(np.unique(fine.coefficients[ALL])) == {0.0, 1.0}


def test_the_pressure_vanishes_where_the_first_point_lies_and_one_step_behind_the_last() -> None:
    """What says where the points are: a line through the last two values crosses zero at the end of the axis."""
    found = NeuralOperator(file="darcy_test_32.pt").read()
    profile = found.states[ALL][:, 0, :, 16, 0].mean(0)
    assert abs(profile[0]) < 0.01 * profile.max()
    assert abs(2 * profile[-1] - profile[-2]) < 0.03 * profile.max() < 0.2 * profile[-1]
    assert found.periodic == (True, True)  # the next point has the value of the first


def test_training_samples_are_read_without_importing_the_package() -> None:
    found = NeuralOperator(file="darcy_train_16.pt").read()
    assert found.states.shape == (1000, 1, 16, 16, 1)
    y = found.states[ALL]
    assert float(y.min()) == pytest.approx(-0.43, abs=0.005)
    assert float(y.max()) == pytest.approx(2.06, abs=0.005)
    assert "neuralop" not in sys.modules


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"x": torch.zeros(3, 4, 4)}, "no tensor y; there is x"),
        (
            {"x": torch.zeros(3, 4, 5), "y": torch.zeros(3, 4, 4)},
            r"x: torch.float32 \(3, 4, 5\), expected .*\(3, 4, 4\)",
        ),
        (
            {"x": torch.zeros(3, 4), "y": torch.zeros(3, 4)},
            r"y: torch.float32 \(3, 4\), expected .*\(n, points, points\)",
        ),
        ({"x": 1, "y": torch.zeros(3, 4, 4)}, "dict, expected a dictionary with the tensors"),
        ([torch.zeros(3)], "list, expected a dictionary"),
        (Path("anything"), "no file of tensors x and y"),
    ],
)
def test_another_content_is_one_line(tmp_path: Path, content: Any, says: str) -> None:
    torch.save(content, tmp_path / "darcy.pt")
    with pytest.raises(UsageError, match=rf"^[^\n]*darcy\.pt: {says}"):
        NeuralOperator(file="darcy.pt", folder=str(tmp_path)).read()


def test_no_file_and_one_that_is_cut_off(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(3, 40, 40), "y": torch.zeros(3, 40, 40)}, tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"there is no file .*b\.pt; of \.pt files there is a\.pt"):
        NeuralOperator(file="b.pt", folder=str(tmp_path)).read()
    whole = (tmp_path / "a.pt").read_bytes()
    for content in (whole[:-2000], whole[:10], b"", b"<html>404</html>"):
        (tmp_path / "a.pt").write_bytes(content)
        with pytest.raises(UsageError, match=r"a\.pt: no file of tensors x and y, or one that is cut off"):
            NeuralOperator(file="a.pt", folder=str(tmp_path)).read()


@pytest.mark.parametrize("there", [False, True])
def test_a_package_without_data_is_named_with_the_command(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if there:  # as any later version
        (tmp_path / "neuralop").mkdir()
        (tmp_path / "neuralop/__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UsageError, match=r"pip install --no-deps neuraloperator==0\.3\.0$"):
        NeuralOperator(file="darcy_train_16.pt").read()
