"""Darcy flow as the neuraloperator project publishes it: ``.pt`` files with ``x`` and ``y`` ``(n, points, points)``.

Version 0.3.0 of the Python package carries small ones, later versions none (MIT licence): ``darcy_train_16.pt`` (1000
samples), ``darcy_test_16.pt`` and ``darcy_test_32.pt`` (the same 50 samples). ``x`` says of each point which of two
permeabilities it has, ``y`` is the pressure. Files of other sizes, under the same names, are at Zenodo, 12784353.

Points are i/points of the unit square: the first of an axis lies on the boundary, where ``y`` vanishes, the last one
does not, and every second point of the finer test is the coarser one, number for number. As ``y`` vanishes at the
other end too, the next point would have the value of the first: the axes are handed on as closed. The problem is not
periodic, and shifts are no symmetry of it; but so its points are where they are, and a reflection takes i to
points - i. (Taken for both ends of the square, they give another problem when reflected: with the symmetries of the
square an FNO then has twice the error on the test.)
"""

from __future__ import annotations

import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.datafile import reading
from sciml.errors import UsageError
from sciml.operator.source.array import View
from sciml.operator.source.base import Recording, Source

_INSTALL = "pip install --no-deps neuraloperator==0.3.0"


@final
class NeuralOperator(Source):
    """One file.

    Args:
        file: Its name.
        folder: Where it lies; null for the installed package.
    """

    def __init__(self, *, file: str, folder: str | None = None) -> None:
        self.file, self.folder = file, folder

    def read(self) -> Recording:
        path = (_packaged() if self.folder is None else Path(self.folder)) / self.file
        if self.folder is not None:  # what a package carries is not the user's
            reading(path)
        arrays = _load(path)
        for name in ("x", "y"):
            if name not in arrays:
                raise UsageError(f"{path}: no tensor {name}; there is {', '.join(map(str, arrays))}")
        shape = tuple(arrays["y"].shape)
        for name in ("y", "x"):
            found = tuple(arrays[name].shape)
            if len(found) != 3 or found != shape or arrays[name].is_complex():
                expected = "(n, points, points)" if name == "y" else str(shape)
                raise UsageError(f"{path}: {name}: {arrays[name].dtype} {found}, expected real numbers {expected}")
        n, *grid = shape
        return Recording(
            name=str(path),
            states=View(arrays["y"].numpy(), (0, None, 1, 2, None), (n, 1, *grid, 1), f"{path}: y"),
            coefficients=View(arrays["x"].numpy(), (0, 1, 2, None), (n, *grid, 1), f"{path}: x"),
            times=None,
            coordinates=tuple(np.arange(points) / points for points in grid),
            periodic=(True, True),
        )


def _packaged() -> Path:
    spec = find_spec("neuralop")  # without importing it: it needs more than its data
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"Darcy data of neuraloperator: the package that carries them is missing: {_INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "datasets/data"
    if not folder.is_dir():
        raise UsageError(f"Darcy data of neuraloperator: the installed version carries none: {_INSTALL}")
    return folder


def _load(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in path.parent.glob("*.pt"))) or "none"
        raise UsageError(f"there is no file {path}; of .pt files there is {there}")
    try:
        # Tensors and plain containers only: nothing in a file of others is run.
        found = torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise UsageError(f"{path}: no file of tensors x and y, or one that is cut off") from error
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UsageError(f"{path}: {type(found).__name__}, expected a dictionary with the tensors x and y")
    return found
