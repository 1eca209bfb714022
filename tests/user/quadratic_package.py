"""A method of a user's own whose held-out loss is a known function of its parameters, for tests of searches."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sciml.loop import Endless, run_steps


class Quadratic(LightningModule):
    """Held out: (x - 0.3)² + (log10(rate) + 2)² / 2 + offset(kind) + seed / 100. Its test has its optimum elsewhere."""

    def __init__(
        self, *, x: float, rate: float = 0.01, kind: str = "a", bad_above: float = math.inf, nap: float = 0.0
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.x, self.bad_above, self.nap = x, bad_above, nap
        offset = {"a": 0.0, "b": 0.1}[kind]
        self.value = (x - 0.3) ** 2 + (math.log10(rate) + 2) ** 2 / 2 + offset + torch.initial_seed() / 100
        self.weight = nn.Parameter(torch.ones(()))

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        time.sleep(self.nap)
        loss = self.weight.square() * (math.nan if self.x > self.bad_above else 1.0)
        return loss, {"weight": loss}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.log_dict(run_steps(self, self.losses, every=1))
        self.log("val/loss", torch.tensor(self.value + 1 / self.global_step, dtype=torch.float64))

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self.log("distance", torch.tensor(abs(self.x + 0.5), dtype=torch.float64))
        self.log("val/loss", torch.tensor(-1000.0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self) -> Endless:
        return Endless()

    def test_dataloader(self) -> list[Tensor]:
        return [torch.zeros(1)]
