"""The inner loop of every trained method: many optimiser steps between two host synchronisations.

Lightning's own loop costs about as much as one step of a small network. A module that trains with
manual optimisation therefore takes a whole chunk of steps in one ``training_step``::

    def training_step(self, batch, batch_idx):
        self.log_dict(run_steps(self, self.losses, every=self.log_every))

A chunk ends at the next multiple of ``every``, at ``trainer.max_steps``, or at once when the trainer
was asked to stop, and nothing that it computes depends on where it ends: a run that is interrupted
and resumed takes the same steps and logs the same numbers as one that is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.errors import ConfigError, Diverged
from sciml.parallel import ranks

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule

    from sciml.optimizer.base import Objective

Terms = dict[str, Tensor]


class Endless:
    """A loader without data and without end: the module draws its own batches."""

    def __iter__(self) -> Iterator[int]:
        while True:
            yield 0


def check_cadence(log_every: int, val_every: int) -> None:
    """A held-out loss can only be taken where a chunk ends.

    Raises:
        ConfigError: ``val_every`` is not a multiple of ``log_every``.
    """
    if val_every % log_every:
        raise ConfigError(f"val_every ({val_every}) must be a multiple of log_every ({log_every})")


def optimization(
    parameters: Iterable[nn.Parameter],
    optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
    scheduler: Callable[[Optimizer], LRScheduler] | None,
) -> Any:
    """What ``configure_optimizers`` returns for one optimiser and, if there is one, its schedule."""
    built = optimizer(parameters)
    return built if scheduler is None else {"optimizer": built, "lr_scheduler": scheduler(built)}


def run_steps(
    module: LightningModule,
    losses: Callable[[], tuple[Tensor, Terms]],
    *,
    every: int,
    take: Callable[[Any], tuple[Tensor, Terms]] | None = None,
) -> dict[str, float]:
    """Take optimiser steps up to the next multiple of ``every``.

    Args:
        module: A LightningModule with ``automatic_optimization = False`` and one optimiser.
        losses: Called once a step; returns the scalar to differentiate and the named loss terms
            (scalars, same device), which are logged and watched for NaN and infinity. With several ranks
            the values are those of the whole batch, the gradients those of the rank's share.
        every: Chunk length in optimiser steps.
        take: Takes a whole step with the optimiser it is given, in place of ``losses``, its backward pass and the
            optimiser's own step; returns what ``losses`` does. See :func:`step_with`.

    Returns:
        The terms of the last step as ``train/<name>`` and the scalar itself as ``train/loss``; nothing if
        the trainer was asked to stop before the chunk's end, so that an interruption leaves no mark in the log.

    Raises:
        Diverged: A term of some step in the chunk is NaN or infinite.
    """
    trainer = module.trainer
    optimizer: Any = module.optimizers()  # one each, not the lists that Lightning also allows
    scheduler: Any = module.lr_schedulers()
    first = module.global_step
    last = first + every - first % every
    if trainer.max_steps > 0:
        last = min(last, trainer.max_steps)
    history: list[Tensor] = []
    names: list[str] = []
    group = ranks()
    parameters = list(module.parameters()) if group.size > 1 else []
    for _ in range(first, last):
        if take is not None:
            loss, terms = take(optimizer)
        else:
            optimizer.zero_grad()
            loss, terms = losses()
            loss.backward()
            if parameters and group.step_together(parameters):
                trainer.should_stop = True
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
        names = ["loss", *terms]
        history.append(torch.stack([loss.detach(), *(t.detach() for t in terms.values())]))
        if trainer.should_stop:
            break
    values = torch.stack(history).cpu()  # the chunk's only synchronisation with the device
    if not bool(torch.isfinite(values).all()):
        _raise_diverged(values, names, first)
    if module.global_step < last:
        return {}
    return {f"train/{name}": float(value) for name, value in zip(names, values[-1], strict=True)}


def step_with(optimizer: Any, objective: Objective) -> Tensor:
    """A step of an optimiser that is given its function.

    Args:
        optimizer: What ``module.optimizers()`` returns, around an :class:`~sciml.optimizer.base.ObjectiveOptimizer` or
            an optimiser of torch that takes a closure.
        objective: The function.

    Returns:
        The loss before the step, a detached scalar.
    """
    # Lightning would put a function of its own around the objective, which could only be called. What it does before
    # and after a step, counting it, is done all the same.
    optimizer._on_before_step()
    loss = optimizer.optimizer.step(objective)
    optimizer._on_after_step()
    return loss.detach()


def _raise_diverged(values: Tensor, names: list[str], first: int) -> None:
    row = int((~torch.isfinite(values)).any(dim=1).nonzero()[0])
    # The total is not finite either; the term that made it so is what the user needs to know.
    order = [*range(1, len(names)), 0]
    column = next(c for c in order if not math.isfinite(float(values[row, c])))
    raise Diverged(names[column], first + row + 1, float(values[row, column]))
