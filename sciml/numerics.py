"""The process around a run: threads, determinism, memory, and libraries that talk. What was set before comes back,
but for memory: see :mod:`sciml.allocator`.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sciml.allocator import keep_freed


@contextmanager
def numerics(threads: int, deterministic: bool) -> Iterator[None]:
    """Threads and determinism of this run, and subnormal numbers taken for zero; what was set before comes back.

    A unit that is dead leaves an optimiser's averages of its gradients to decay: after a thousand steps they are
    subnormal, for good, and a processor takes a hundred cycles for each number that it makes of them. An LSM's steps
    had become three times as long by then. A thread has this from the one that starts it: those that torch has started
    before the block keep what they had.
    """
    keep_freed()
    flushed = _flushed()
    torch.set_flush_denormal(True)
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    debugging: Any = torch.utils.deterministic
    fill = debugging.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    debugging.fill_uninitialized_memory = False  # costs time, and helps only to find bugs
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        debugging.fill_uninitialized_memory = fill


def _flushed() -> bool:
    return float(torch.full((), 1e-40) * 1.0) == 0


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning's advice and tips out of the terminal; its errors still come."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\.")
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.|lightning\.")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*treespec.*")
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
