"""Fields of your own, in a ``.npz`` archive, a folder of ``.npy`` files or an HDF5 file (:mod:`sciml.data.arrays`).

A field is ``(number - offset) / scale``, channel by channel: of size 1, which is what priors and noise levels are made
for. Each array is a channel, ``(n, *grid)``, or has channels as its last axis.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from sciml.data.arrays import arrays, each
from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.diffusion.dataset.room import check_memory
from sciml.diffusion.units import Units
from sciml.errors import ConfigError, RunError, UsageError
from sciml.ranges import Count, Natural, Positive

log = logging.getLogger("sciml")
SMALL, LARGE = 0.1, 10.0  # sizes that are still near to 1


@final
class Arrays(Dataset):
    """Some of the fields of a file.

    Args:
        path: Of the archive, folder or HDF5 file.
        fields: Names of the arrays, side by side in the channels.
        periodic: Whether the point after the last is the first, of each axis or of all.
        channel_axis: Whether the last axis of the arrays is that of channels; else each array is one.
        names: Of the channels; null: those of the arrays, numbered where an array has several.
        scale: Unit of each channel, or of all.
        offset: What is subtracted first, of each channel or of all.
        n_train: Number of fields to fit to.
        n_val: Number to choose settings with.
        n_test: Number to judge with.
        seed: Draws the splits; null: in the order of the file test, validation, training.
        limit: GiB that the fields may take.

    Raises:
        ConfigError: The file has too few fields, or an entry a channel or axis is missing, or the limit is passed.
        UsageError: A file is missing, cut off or not of this form; the line names it, the array and the shape.
    """

    def __init__(
        self,
        *,
        path: str,
        fields: Sequence[str],
        periodic: bool | Sequence[bool],
        channel_axis: bool = False,
        names: Sequence[str] | None = None,
        scale: Positive | Sequence[Positive] = 1.0,
        offset: float | Sequence[float] = 0.0,
        n_train: Count = 4000,
        n_val: Count = 200,
        n_test: Count = 200,
        seed: Natural | None = 0,
        limit: Positive = 4.0,
    ) -> None:
        self.path, self.fields, self.channel_axis, self.seed = Path(path), tuple(fields), channel_axis, seed
        self.counts = {"train": n_train, "val": n_val, "test": n_test}
        if not self.fields:
            raise ConfigError("dataset.fields is empty; it names the arrays of the file")
        found, close = arrays(self.path, self.fields)
        try:
            self.n, *grid = self._common(found)
            widths = [found[name].shape[-1] if channel_axis else 1 for name in self.fields]
        finally:
            close()
        self.shape = (*grid, sum(widths))
        called = [
            f"{name}{i}" if w > 1 else name for name, w in zip(self.fields, widths, strict=True) for i in range(w)
        ]
        self.names = each("dataset.names", names or called, self.shape[-1])
        self.periodic = each("dataset.periodic", periodic, len(grid))
        self.scale = torch.tensor(each("dataset.scale", scale, self.shape[-1]), dtype=torch.float64)
        self.offset = torch.tensor(each("dataset.offset", offset, self.shape[-1]), dtype=torch.float64)
        self.units = Units(self.scale.tolist(), self.offset.tolist())
        self._check_counts(limit)

    def _check_counts(self, limit: float) -> None:
        asked = sum(self.counts.values())
        if asked > self.n:
            raise ConfigError(
                f"dataset: {self.path} has {self.n} fields, fewer than n_train + n_val + n_test, which is {asked}"
            )
        check_memory(asked, self.shape, limit)

    def _common(self, found: dict[str, Any]) -> tuple[int, ...]:
        """``(n, *grid)``, which all arrays have."""
        form = "(n, *grid, channels)" if self.channel_axis else "(n, *grid)"
        shapes = {name: tuple(found[name].shape) for name in self.fields}
        common = {name: shape[:-1] if self.channel_axis else shape for name, shape in shapes.items()}
        for name, shape in common.items():
            if len(shape) < 2:
                raise UsageError(f"{self.path}: {name}: shape {shapes[name]}, expected {form}")
            if shape != common[self.fields[0]]:
                raise UsageError(
                    f"{self.path}: {name}: shape {shapes[name]}, expected {form} alike {shapes[self.fields[0]]}, as"
                    f" {self.fields[0]} has"
                )
        return common[self.fields[0]]

    def splits(self) -> dict[str, Tensor]:
        order = torch.arange(self.n)
        if self.seed is not None:
            order = torch.randperm(self.n, generator=stream("arrays/splits", self.seed))
        found, close = arrays(self.path, self.fields)
        try:
            parts, first = {}, 0
            for split in ("test", "val", "train"):
                rows = order[first : first + self.counts[split]]
                parts[split], first = self._rows(found, rows.sort().values.numpy()), first + len(rows)
        finally:
            close()
        self._check_size(parts["train"])
        return parts

    def _check_size(self, train: Tensor) -> None:
        """Say so where the fields are far from the size that priors are made for, before anything is learned."""
        rows = train.double().flatten(0, -2)
        for c, name in enumerate(self.names):
            mean, std = float(rows[:, c].mean()), float(rows[:, c].std())
            size = math.hypot(mean, std)
            if not SMALL < size < LARGE:
                scale, offset = float(self.scale[c]), float(self.offset[c])
                log.warning(
                    "%s: %s has numbers of size %.2g after dataset.scale and offset; priors are made for 1, as with"
                    " diffusion.dataset.offset=%.3g diffusion.dataset.scale=%.3g (lists, where channels differ)",
                    self.path, name, size, offset + scale * mean, scale * std,
                )  # fmt: skip

    def _rows(self, found: dict[str, Any], rows: np.ndarray) -> Tensor:
        try:
            values = [np.asarray(found[name][rows]) for name in self.fields]
        except (OSError, RuntimeError) as error:
            raise RunError(f"{self.path} cannot be read: the file is damaged or cut off") from error
        for name, array in zip(self.fields, values, strict=True):
            if not np.isfinite(array).all():
                raise RunError(f"{self.path}: {name}: a number that is not finite")
        wide = [array if self.channel_axis else array[..., None] for array in values]
        fields = torch.from_numpy(np.concatenate(wide, axis=-1))
        return ((fields.double() - self.offset) / self.scale).float()
