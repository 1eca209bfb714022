"""What the modules share that train their own steps: the optimiser, the cadence of the log, the held-out loss.

A family's module says what a step's loss is and what is held out; the loop is :func:`sciml.loop.run_steps`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.errors import ConfigError
from sciml.loop import Endless, check_cadence, optimization, run_steps


def check_slots(family: str, **slots: Any) -> None:
    """Refuse slots that an experiment has left empty.

    Raises:
        ConfigError: One is None; the message says how it is chosen.
    """
    for slot, part in slots.items():
        if part is None:
            raise ConfigError(f"{family}.{slot} is null; choose one in the experiment, `override /{slot}: <name>`")


class Trained(LightningModule, ABC):
    """A module whose batches are chunks of optimiser steps.

    Args:
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        log_every: Steps between two records of the loss.
        val_every: Steps between two evaluations of what is held out, a multiple of ``log_every``.

    Raises:
        ConfigError: ``val_every`` is no multiple of ``log_every``.
    """

    def __init__(
        self,
        *,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None,
        log_every: int,
        val_every: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        check_cadence(log_every, val_every)
        self.optimizer, self.scheduler = optimizer, scheduler
        self.log_every, self.val_every = log_every, val_every
        self.take: Callable[[Any], tuple[Tensor, dict[str, Tensor]]] | None = None  # see sciml.loop.run_steps

    @abstractmethod
    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the next step, and its named terms; see :func:`sciml.loop.run_steps`."""

    @abstractmethod
    def held_out_metrics(self) -> Mapping[str, Tensor | float]:
        """What is logged of data that are never trained on; ``val/loss`` chooses the best weights."""

    def training_step(self, batch: int, batch_idx: int) -> None:
        self.log_dict(run_steps(self, self.losses, every=self.log_every, take=self.take), batch_size=1)
        step = self.global_step
        if step % self.val_every == 0 or step == self.trainer.max_steps:
            self.log_dict(dict(self.held_out_metrics()), batch_size=1)

    def configure_optimizers(self) -> Any:
        return optimization(self.parameters(), self.optimizer, self.scheduler)

    def train_dataloader(self) -> Endless:
        return Endless()

    def test_dataloader(self) -> list[int]:
        return [0]
