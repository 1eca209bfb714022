"""PCGrad: each gradient without its part against another one, then their sum.

    for each i, for the other j in random order:  if g_i·g_j < 0:  g_i <- g_i − (g_i·g_j / |g_j|²) g_j;   d = Σ_i g_i

with the g_j as they were. Source: Yu, Kumar, Gupta, Levine, Hausman and Finn, "Gradient surgery for multi-task
learning", NeurIPS 2020 (arXiv 2001.06782), algorithm 1. The orders come from a stream of their own, with which a
resumed run goes on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.conflict.base import Direction
from sciml.conflict.groups import Groups
from sciml.data.stream import stream


class PCGrad(Direction):
    """Projected conflicting gradients."""

    def __init__(self, *, groups: Groups | None = None) -> None:
        super().__init__(groups=groups)
        self._generator = stream("conflict/pcgrad")

    def forward(self, gradients: dict[str, Tensor]) -> Tensor:
        rows = list(gradients.values())
        squares = [torch.dot(row, row) for row in rows]
        total = torch.zeros_like(rows[0])
        for i, row in enumerate(rows):
            for j in torch.randperm(len(rows), generator=self._generator).tolist():
                if j != i:
                    against = torch.dot(row, rows[j]).clamp(max=0)
                    row = row - torch.where(squares[j] > 0, against / squares[j], 0) * rows[j]
            total = total + row
        return total

    def get_extra_state(self) -> Tensor:
        return self._generator.get_state()

    def set_extra_state(self, state: Tensor) -> None:
        self._generator.set_state(state.cpu())
