"""How much memory is free, and reading arrays of files into it."""

from __future__ import annotations

import math
import os
from pathlib import Path

import torch
from torch import Tensor

from sciml.operator.source.base import Array, Index

_CHUNK = 2**27  # bytes of a file read at once: much for a disk, little for a memory


def available() -> int:
    """Bytes that this process may still take: of the machine's, or of its share of it if that is less."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except (OSError, StopIteration):  # no Linux: what is free, without what a cache could give back
        return free
    own = next((line[3:] for line in groups if line.startswith("0::")), None)
    while own is not None:
        left = _left(Path("/sys/fs/cgroup") / own.lstrip("/"))
        free = free if left is None else min(free, left)
        own = str(Path(own).parent) if own not in ("/", "") else None
    return max(free, 0)


def _left(group: Path) -> int | None:
    """What a control group allows its processes beside what they have; its file cache can be given back."""
    try:
        limit = (group / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((group / "memory.current").read_text())
        lines = (group / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    cache = next((int(line.split()[1]) for line in lines if line.startswith("file ")), 0)
    return int(limit) - used + cache


def selected(size: int, part: slice) -> int:
    """How many of ``size`` a slice takes."""
    return len(range(*part.indices(size)))


def load(array: Array, index: Index) -> Tensor:
    """A part of an array as one float32 tensor, read some samples at a time.

    Args:
        array: ``(n, ...)``.
        index: A slice for each axis but the last.
    """
    lengths = [selected(size, part) for size, part in zip(array.shape, index, strict=False)]
    found = torch.empty(*lengths, *array.shape[len(index) :])
    samples = range(*index[0].indices(array.shape[0]))
    chunk = max(1, _CHUNK // (4 * math.prod(array.shape[1:])))
    for first in range(0, len(samples), chunk):
        some = samples[first : first + chunk]
        values = array[(slice(some.start, some.stop, some.step), *index[1:])]
        found[first : first + len(some)] = torch.as_tensor(values)
    return found
