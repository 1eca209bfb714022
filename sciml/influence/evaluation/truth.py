"""What training again with other weights of the examples really does to the measurements.

The same for all attributors that are judged on one task with one seed, so it is kept where the run keeps generated
data: the first of them pays for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from sciml.data import cache
from sciml.influence.base import Task
from sciml.influence.retraining import checksum
from sciml.stage import stage

VERSION = 1  # of the training in lock step: raise it when its numbers change


def retrained(task: Task, weights: Tensor, repeats: Iterable[int], batch_size: int) -> Tensor:
    """Train with every row of weights, and measure.

    Args:
        task: What is trained.
        weights: ``(runs, n_train)``.
        repeats: Which of the independent trainings.
        batch_size: Trainings at once.

    Returns:
        Measurements ``(repeats, runs, n_query)`` on the CPU.
    """
    return torch.stack([_kept(task, weights, repeat, batch_size) for repeat in repeats])


def _kept(task: Task, weights: Tensor, repeat: int, batch_size: int) -> Tensor:
    root, identity = cache.folder(), task.identity()
    if root is None or identity is None:
        return _measured(task, weights, repeat, batch_size)
    settings = {
        "task": identity,
        "weights": checksum(weights),
        "repeat": repeat,
        "batch_size": batch_size,  # the order of additions depends on it
        "torch": str(torch.__version__),
        "device": _device(task).type,
    }

    return kept(root, "retraining", settings, VERSION, lambda: _measured(task, weights, repeat, batch_size))


def kept(root: Path, name: str, settings: dict[str, Any], version: int, make: Callable[[], Tensor]) -> Tensor:
    """What ``make`` returns, from the cache if it is there; on the CPU."""

    def generate(path: Path) -> None:
        with open(path, "wb") as file:
            np.save(file, make().cpu().numpy(), allow_pickle=False)

    with open(cache.entry(root, name, settings, version=version, generate=generate), "rb") as file:
        return torch.from_numpy(np.load(file, allow_pickle=False))


def _measured(task: Task, weights: Tensor, repeat: int, batch_size: int) -> Tensor:
    with torch.no_grad():
        parts = weights.to(_device(task)).split(batch_size)
        found = []
        for i, part in enumerate(parts):
            with stage(f"trainings {1 + i * batch_size} to {i * batch_size + len(part)} of {len(weights)}"):
                found.append(task.measured(task.fit(part, repeat=repeat)).cpu())
        return torch.cat(found)


def _device(task: Task) -> torch.device:
    first = next(iter(task.buffers()), None)
    return first.device if first is not None else torch.device("cpu")


def subsets(number: int, n: int, kept: int, generator: Generator) -> Tensor:
    """Random subsets of equal size as weights 0 and 1, ``(number, n)``."""
    order = torch.rand(number, n, generator=generator, dtype=torch.float64).argsort(dim=1)
    return torch.zeros(number, n).scatter_(1, order[:, :kept], 1.0)
