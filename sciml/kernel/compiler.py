"""The C++ compiler of this machine, and programs compiled for its processor and called through their C interface.

Compiling takes about a second, so nothing is kept on the disk: a shared object is made in a folder of its own, which is
gone once it is loaded.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

REALS = {"float32": "float", "float64": "double"}
_SECONDS = 120.0


class NotCompiled(RuntimeError):
    """There is no compiler, or it refuses the program; says which in one line."""


def compiler() -> str | None:
    """What CXX names, or the first of g++, clang++ and c++ that there is; None if there is none."""
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def text(name: str) -> str:
    """A source file of this folder."""
    return resources.files("sciml.kernel").joinpath(name).read_text(encoding="utf-8")


def load(name: str, source: str) -> ctypes.CDLL:
    """A program.

    Args:
        name: What the compiler's messages call it.
        source: All of it.

    Raises:
        NotCompiled: See there.
    """
    found = compiler()
    if found is None:
        raise NotCompiled("there is no C++ compiler")
    native = "-mcpu=native" if platform.machine() in ("aarch64", "arm64") else "-march=native"
    # No flag here changes what NaN and infinity mean: a run that diverges must be seen to.
    flags = ["-O3", native, "-std=c++17", "-shared", "-fPIC", "-ffp-contract=fast", "-fno-math-errno", "-fopenmp"]
    with tempfile.TemporaryDirectory(prefix="sciml-") as folder:
        written, shared = Path(folder, f"{name}.cpp"), Path(folder, f"{name}.so")
        written.write_text(source, encoding="utf-8")
        try:
            done = subprocess.run(
                [found, *flags, str(written), "-o", str(shared)],
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                env={**os.environ, "LC_ALL": "C"},
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotCompiled(f"{found}: {error}") from error
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or [f"ended with {done.returncode}"]
            raise NotCompiled(f"{found}: {lines[0]}")
        try:
            return ctypes.CDLL(str(shared))
        except OSError as error:
            raise NotCompiled(str(error)) from error


class Passes:
    """A program whose functions, its passes, take one structure of numbers and tensors.

    Args:
        name: Of its source file, without the suffix.
        dtype: Of the tensors.
        constants: What the source leaves open.
        arguments: The structure: fields and their types, ``c_void_p`` for tensors.

    Raises:
        NotCompiled: See there.
    """

    def __init__(
        self, name: str, dtype: torch.dtype, constants: Mapping[str, int], arguments: Mapping[str, Any]
    ) -> None:
        lines = [f"typedef {REALS[str(dtype).removeprefix('torch.')]} real;", text("tiles.cpp")]
        lines += [f"constexpr int {key} = {value};" for key, value in constants.items()]
        self._library = load(name, "\n".join([*lines, text(f"{name}.cpp")]))
        self._library.argument_bytes.restype = ctypes.c_long
        self._Arguments = type("Arguments", (ctypes.Structure,), {"_fields_": list(arguments.items())})
        assert ctypes.sizeof(self._Arguments) == self._library.argument_bytes()

    def run(self, name: str, **values: Tensor | float) -> None:
        """One pass.

        Args:
            name: Its name.
            values: Fields of the structure; tensors are contiguous.

        Raises:
            MemoryError: There is none for what the pass needs beside its arguments.
        """
        arguments = self._Arguments()
        for key, value in values.items():
            if isinstance(value, Tensor):
                assert value.is_contiguous(), key
            setattr(arguments, key, value.data_ptr() if isinstance(value, Tensor) else value)
        if getattr(self._library, name)(ctypes.byref(arguments), torch.get_num_threads()):
            raise MemoryError("no memory for a tile of points")
