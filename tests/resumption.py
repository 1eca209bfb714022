"""Optimisers that are saved to a file, and go on from it with new parameters and a new objective."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

Made = tuple[list[nn.Parameter], Optimizer, Any]  # parameters, optimiser, and what its steps are given


def straight(make: Callable[[], Made], steps: int) -> tuple[list[nn.Parameter], Any]:
    """Parameters and optimiser after so many steps."""
    p, optimizer, objective = make()
    for _ in range(steps):
        optimizer.step(objective)
    return p, optimizer


def interrupted(make: Callable[[], Made], before: int, after: int) -> tuple[list[nn.Parameter], Any]:
    """The same after ``before`` steps, a file, and ``after`` more."""
    first, optimizer = straight(make, before)
    file = io.BytesIO()
    torch.save({"parameters": [p.data for p in first], "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    p, optimizer, objective = make()
    optimizer.load_state_dict(saved["optimizer"])
    for q, value in zip(p, saved["parameters"], strict=True):
        q.data.copy_(value)
    for _ in range(after):
        optimizer.step(objective)
    return p, optimizer
