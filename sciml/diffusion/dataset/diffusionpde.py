r"""The data of Huang et al. (2024), *DiffusionPDE*, as their repository publishes, names and merges them.

=================  ========================================================  =====================  ==================
problem            variables, or entries along the last axis                 scale (offset)         in merged files
=================  ========================================================  =====================  ==================
``darcy``          ``thresh_a_data``, ``thresh_p_data`` (n, x, y)            4.5 (7.5), 0.005       0.2 a - 1.5,
                                                                                                    115 u - 0.9
``poisson``        ``f_data``, ``phi_data`` (n, x, y)                        0.292, 0.00418         a / 2.15, 36.5 u
``helmholtz``      ``f_data``, ``psi_data`` (n, x, y)                        0.284, 0.00428         a / 2.15, u / 0.028
``ns_nonbounded``  ``a`` (n, x, y); ``u`` (n, x, y, t), the last time        0.25, 0.25             a / 1.6, u / 1.6
``burgers``        ``output`` (n, t, x), one channel                         0.2                    u / 1.415
``ns_bounded``     of one array (n, x, y, t), times 4 and 8                  2, 3                   a / 10, u / 10
=================  ========================================================  =====================  ==================

The first five are MATLAB files, of version 7.3 or older; ``ns_bounded`` comes as ``v.npy``, one in a folder. Merged
files, one field ``(x, y, channels)`` in each ``merge_<i>.npy``, are what their training reads; they are scaled back.
A channel here is ``(published - offset) / scale``: numbers of size 1, the solutions without a shift, so that relative
errors are those of the data. The sizes are those that the repository of Yao et al. (2025), *FunDPS*, lists for these
files. It also lists solutions of Darcy flow down to -0.29, fifty times their size, where the exact ones are positive:
coefficients interpolated by splines (``solve_gwf.m``) can come out negative. They are left as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from torch import Tensor

from sciml.data import mat
from sciml.data.arrays import npy
from sciml.diffusion.base import Dataset
from sciml.diffusion.dataset.room import check_memory
from sciml.diffusion.units import Units
from sciml.errors import ConfigError, RunError, UsageError
from sciml.ranges import Count, Positive


@dataclass(frozen=True)
class Layout:
    """How a problem is published.

    Attributes:
        names: Of the channels.
        variables: Of MATLAB files, one a channel; none: arrays ``.npy``.
        frames: Of each channel the entry of its last axis, that of time; None for a variable without one.
        scale: Of each channel.
        merged: Of each channel the factor and the shift in merged files.
        offset: Of each channel.
        periodic: Of each axis.
    """

    names: tuple[str, ...]
    variables: tuple[str, ...]
    frames: tuple[int | None, ...]
    scale: tuple[float, ...]
    merged: tuple[tuple[float, float], ...]
    offset: tuple[float, ...] = (0.0, 0.0)
    periodic: tuple[bool, bool] = (False, False)


LAYOUTS = {
    "darcy": Layout(
        names=("coefficient", "solution"),
        variables=("thresh_a_data", "thresh_p_data"),
        frames=(None, None),
        scale=(4.5, 0.005),
        merged=((0.2, -1.5), (115.0, -0.9)),
        offset=(7.5, 0.0),
    ),
    "poisson": Layout(
        names=("source", "solution"),
        variables=("f_data", "phi_data"),
        frames=(None, None),
        scale=(0.292, 0.00418),
        merged=((1 / 2.15, 0.0), (36.5, 0.0)),
    ),
    "helmholtz": Layout(
        names=("source", "solution"),
        variables=("f_data", "psi_data"),
        frames=(None, None),
        scale=(0.284, 0.00428),
        merged=((1 / 2.15, 0.0), (1 / 0.028, 0.0)),
    ),
    "ns_nonbounded": Layout(
        names=("initial", "final"),
        variables=("a", "u"),
        frames=(None, -1),
        scale=(0.25, 0.25),
        merged=((1 / 1.6, 0.0), (1 / 1.6, 0.0)),
        periodic=(True, True),
    ),
    "burgers": Layout(
        names=("solution",),
        variables=("output",),
        frames=(None,),
        scale=(0.2,),
        merged=((1 / 1.415, 0.0),),
        offset=(0.0,),
        periodic=(False, True),
    ),
    "ns_bounded": Layout(
        names=("earlier", "later"),
        variables=(),
        frames=(4, 8),
        scale=(2.0, 3.0),
        merged=((0.1, 0.0), (0.1, 0.0)),
    ),
}


@final
class DiffusionPDE(Dataset):
    """Fields out of a file, or of all files of a folder in the order of their numbers.

    The first ``n_test`` are for the test, the next ``n_val`` for validation, and ``n_train`` more for training; where
    the test has files of its own, as published, it takes the first of those.

    Args:
        path: A file, or a folder with ``.mat`` files, ``merge_<i>.npy`` or ``<i>/v.npy``.
        problem: ``darcy``, ``poisson``, ``helmholtz``, ``ns_nonbounded``, ``burgers`` or ``ns_bounded``.
        test_path: The same for the test; null for none of its own.
        n_train: Fields to fit to.
        n_val: Fields to choose settings with.
        n_test: Fields to judge with.
        limit: GiB that the fields may take, and that may be read at once of a file.

    Raises:
        ConfigError: There is no such problem, or the fields would take more than the limit.
        UsageError: A file is missing, cut off or not of this layout; the line names it, the variable and the shape.
    """

    def __init__(
        self,
        *,
        path: str,
        problem: str = "darcy",
        test_path: str | None = None,
        n_train: Count = 4000,
        n_val: Count = 200,
        n_test: Count = 200,
        limit: Positive = 4.0,
    ) -> None:
        if problem not in LAYOUTS:
            raise ConfigError(f"dataset.problem is '{problem}'; it must be one of {', '.join(LAYOUTS)}")
        self.counts = {"train": n_train, "val": n_val, "test": n_test}
        self.layout, self.limit = LAYOUTS[problem], limit
        self.path, self.test_path = Path(path), Path(test_path) if test_path else None
        self.names, self.periodic = self.layout.names, self.layout.periodic
        grid = self._shape(_files(self.path, self.layout)[0])[1:]
        self.shape = (*grid, len(self.names))
        self.units = Units(self.layout.scale, self.layout.offset)
        check_memory(sum(self.counts.values()), self.shape, limit)

    def splits(self) -> dict[str, Tensor]:
        own = self.test_path is not None
        first = 0 if own else self.counts["test"]
        fields = self._fields(self.path, first + self.counts["val"] + self.counts["train"])
        sizes = [first, self.counts["val"], self.counts["train"]]
        test, val, train = torch.from_numpy(fields).split(sizes)
        if self.test_path is not None:
            test = torch.from_numpy(self._fields(self.test_path, self.counts["test"]))
        return {"train": train, "val": val, "test": test}

    def _fields(self, path: Path, n: int) -> np.ndarray:
        """The first ``n`` fields of a file or folder."""
        fields, filled = np.empty((n, *self.shape), dtype=np.float32), 0
        for file in _files(path, self.layout):
            count, *grid = self._shape(file)
            if tuple(grid) != self.shape[:-1]:
                raise UsageError(f"{file}: fields {tuple(grid)}, expected {self.shape[:-1]} as in {self.path}")
            taken = min(count, n - filled)
            for c, (name, values) in enumerate(self._channels(file, taken)):
                if not np.isfinite(values).all():
                    raise RunError(f"{file}: {name}: a number that is not finite")
                self._check_law(file, name, values)
                fields[filled : filled + taken, ..., c] = (values - self.layout.offset[c]) / self.layout.scale[c]
            filled += taken
            if filled == n:
                return fields
        raise ConfigError(f"dataset: {path} has {filled} fields, not the {n} that are asked of it")

    def _check_law(self, file: Path, name: str, values: np.ndarray) -> None:
        """An early version of their script made coefficients of 4 and 12."""
        if name == "thresh_a_data" and not np.isin(values, (3, 12)).all():
            raise UsageError(
                f"{file}: {name}: coefficients from {values.min():g} to {values.max():g}, expected 3 or 12"
            )

    # ------------------------------------------------------------ one file

    def _shape(self, file: Path) -> tuple[int, ...]:
        """Number of fields and grid of a file."""
        if file.suffix == ".npy":
            array = npy(file)
            channels = len(self.layout.names)
            if _merged(file):
                if array.ndim != 3 or array.shape[-1] != channels:
                    raise UsageError(f"{file}: shape {array.shape}, expected (x, y, {channels})")
                return (1, *array.shape[:-1])
            last = max(frame or 0 for frame in self.layout.frames)
            if array.ndim != 4 or array.shape[-1] <= last:
                raise UsageError(f"{file}: shape {array.shape}, expected (n, x, y, t) with {last + 1} times or more")
            return array.shape[:-1]
        found = mat.shapes(file, self.layout.variables)
        grids = {}
        for name, frame in zip(self.layout.variables, self.layout.frames, strict=True):
            form = "(n, x, y)" if frame is None else "(n, x, y, t)"
            shape = found[name]
            if len(shape) != form.count(",") + 1:
                raise UsageError(f"{file}: {name}: shape {shape}, expected {form}")
            grids[name] = shape if frame is None else shape[:-1]
            expected = next(iter(grids.values()))
            if grids[name] != expected:
                form = str(expected) if frame is None else f"({', '.join(map(str, expected))}, t)"
                raise UsageError(f"{file}: {name}: shape {shape}, expected {form}")
        return next(iter(grids.values()))

    def _channels(self, file: Path, n: int) -> Iterator[tuple[str, np.ndarray]]:
        """Name and numbers ``(n, x, y)``, as published, of each channel of the first fields of a file."""
        if file.suffix == ".npy":
            array = npy(file)
            for c, (name, frame) in enumerate(zip(self.layout.names, self.layout.frames, strict=True)):
                if _merged(file):
                    factor, shift = self.layout.merged[c]
                    yield name, (array[None, ..., c].astype(np.float64) - shift) / factor
                else:
                    yield name, np.asarray(array[:n, ..., frame])
            return
        found, close = mat.variables(file, self.layout.variables, largest=self.limit)
        try:
            for name, frame in zip(self.layout.variables, self.layout.frames, strict=True):
                try:
                    values = found[name].rows(0, n, last=frame)
                except (OSError, RuntimeError) as error:
                    raise RunError(f"{file}: {name} cannot be read: the file is damaged or cut off") from error
                yield name, values
        finally:
            close()


def _files(path: Path, layout: Layout) -> list[Path]:
    """The files of a problem in the order of the numbers in their names."""
    if not path.is_dir():
        if not path.is_file():
            raise UsageError(f"there is no file or folder {path}")
        forms = (".npy", ".mat") if layout.variables else (".npy",)
        if path.suffix not in forms:
            raise UsageError(f"{path}: expected {' or '.join(forms)}")
        found = [path]
    else:
        forms = ("merge_*.npy", "*.mat" if layout.variables else "*/v.npy")
        found = next((files for form in forms if (files := list(path.glob(form)))), [])
        if not found:
            raise UsageError(f"{path} holds none of {', '.join(forms)}")
    if layout.variables and found[0].suffix == ".npy" and not _merged(found[0]):
        raise UsageError(f"{found[0]}: expected a .mat file, or a merged one called merge_<i>.npy")
    pieces = {file: re.split(r"(\d+)", str(file.relative_to(path))) for file in found}
    return sorted(found, key=lambda file: [int(p) if p.isdecimal() else p for p in pieces[file]])


def _merged(file: Path) -> bool:
    return file.stem.startswith("merge_")
