"""A method of a user's own, outside the package: fits a line, and can be told to be slow or to fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sciml.loop import Endless, run_steps


class Net(nn.Sequential):
    """One hidden layer."""

    def __init__(self, in_features: int, out_features: int, *, width: int = 8) -> None:
        super().__init__(nn.Linear(in_features, width), nn.Tanh(), nn.Linear(width, out_features))


class Toy(LightningModule):
    """Regression on y = 2 x with noise from its own generator and from the global one."""

    def __init__(
        self,
        *,
        network: Callable[[int, int], nn.Module],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        log_every: int = 5,
        val_every: int = 10,
        nap: float = 0.0,
        nan_at: int | None = None,
        break_at: int | None = None,
        nan_metric: bool = False,
    ) -> None:
        super().__init__()
        if log_every < 1:
            raise ValueError("log_every must be at least 1")
        self.automatic_optimization = False
        self.network, self.make_optimizer = network(1, 1), optimizer
        self.log_every, self.val_every, self.nap = log_every, val_every, nap
        self.nan_at, self.break_at, self.nan_metric = nan_at, break_at, nan_metric
        self.generator = torch.Generator().manual_seed(torch.initial_seed())
        self.count = 0

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        time.sleep(self.nap)
        self.count += 1
        x = torch.rand(16, 1, generator=self.generator) + 0.01 * torch.rand(1)
        fit = (self.network(x) - 2 * x).square().mean()
        zero = self.network(torch.zeros(1, 1)).square().mean()
        if self.count == self.nan_at:
            zero = zero * float("nan")
        if self.count == self.break_at:
            raise ValueError("the method broke")
        return fit + zero, {"fit": fit, "zero": zero}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.log_dict(run_steps(self, self.losses, every=self.log_every))
        if self.global_step % self.val_every == 0 or self.global_step == self.trainer.max_steps:
            x = torch.linspace(0, 1, 50)[:, None]
            with torch.no_grad():
                self.log("val/loss", (self.network(x) - 2 * x).square().mean())

    def test_step(self, batch: Any, batch_idx: int) -> None:
        x = torch.linspace(0, 1, 101)[:, None]
        error = self.network(x) - 2 * x
        self.log("rel_l2", error.norm() / (2 * x).norm())
        self.log("max_error", error.abs().max() * (float("nan") if self.nan_metric else 1.0))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.make_optimizer(self.parameters())

    def train_dataloader(self) -> Endless:
        return Endless()

    def test_dataloader(self) -> list[Tensor]:
        return [torch.zeros(1)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["toy"] = {"generator": self.generator.get_state(), "count": self.count}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.generator.set_state(checkpoint["toy"]["generator"])
        self.count = checkpoint["toy"]["count"]

    def cost(self) -> dict[str, int]:
        return {"samples": 16 * self.count}

    def figures(self) -> dict[str, Any]:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 2))
        figure.subplots().plot([0, 1], [0, 2])
        return {"line": figure}

    def warnings(self) -> list[str]:
        return ["this is a toy"]
