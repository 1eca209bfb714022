"""Several processes that train one run, each with its share of every batch.

With R ranks the loss of a step is the same sum as with one process, taken in R parts: every rank draws the whole
global batch from the same streams, evaluates its own rows, and

    L = Σ_r L_r,   ∇L = Σ_r ∇L_r,   L_r = the share's sum over the number of rows of the whole batch,

so that shares of different sizes weigh what they should and all ranks take the same optimiser step. What a rule
needs from all rows (loss terms, the residual at every point) is summed too, in the forward pass.

One process is rank 0 of 1, and nothing here costs it anything. How the processes find each other is the matter of
:mod:`sciml.rendezvous`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from lightning.pytorch.plugins.environments import ClusterEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from sciml.errors import ConfigError


@runtime_checkable
class Shares(Protocol):
    """A module that takes its share of a batch where there are several ranks."""

    def check_shares(self, size: int) -> None:
        """Look at the batches of a run with ``size`` ranks before it begins.

        Raises:
            ConfigError: Some rank would have no rows, or the network mixes them.
        """


@dataclass
class Ranks:
    """The processes of a run, seen from one of them.

    Args:
        rank: Which of them this is; 0 owns the run folder.
        size: How many there are.
        explain: Says why a collective operation failed.
    """

    rank: int = 0
    size: int = 1
    explain: Callable[[Exception], Exception] = lambda error: error
    asked: bool = False

    def ask_to_stop(self) -> None:
        """Have all ranks stop after the same step, soon."""
        self.asked = True

    def share(self, rows: Tensor) -> Tensor:
        """This rank's part of the rows: consecutive, sizes that differ by one at most."""
        n = len(rows)
        return rows[n * self.rank // self.size : n * (self.rank + 1) // self.size]

    def spread(self, part: Tensor, n: int) -> Tensor:
        """The rows of :meth:`share` at their place among ``n``, zero elsewhere: summed over ranks, all rows."""
        whole = part.new_zeros(n, *part.shape[1:])
        self.share(whole).copy_(part)
        return whole

    def total(self, x: Tensor) -> Tensor:
        """Sum over the ranks, the same on all; its gradient passes to each rank's summand unchanged."""
        return _Total.apply(x, self)  # type: ignore[return-value]

    def sum_(self, x: Tensor) -> Tensor:
        """Sum over the ranks in place.

        Raises:
            RunError: Another rank has failed or is gone.
        """
        return self._reduce(x, dist.ReduceOp.SUM)

    def highest(self, number: int) -> int:
        """The largest of the ranks' numbers."""
        return int(self._reduce(torch.tensor(number), dist.ReduceOp.MAX))

    def step_together(self, parameters: Iterable[nn.Parameter]) -> bool:
        """Sum the gradients over the ranks.

        Returns:
            Whether any rank has been asked to stop; the same on all, so that they stop after the same step.
        """
        grads = [p.grad for p in parameters if p.grad is not None]
        flag = torch.tensor([float(self.asked)])
        by_type: dict[torch.dtype, list[Tensor]] = {}
        for grad in grads:
            real = torch.view_as_real(grad) if grad.is_complex() else grad
            by_type.setdefault(real.dtype, []).append(real)
        for i, (dtype, parts) in enumerate(by_type.items()):
            # On the CPU the flag travels with the gradients; from a GPU it would have to be waited for.
            extra = [flag.to(dtype)] if i == 0 and parts[0].device.type == "cpu" else []
            flat = self.sum_(torch.cat([*(part.reshape(-1) for part in parts), *extra]))
            for part, values in zip(
                parts, flat.split([part.numel() for part in parts] + [1] * len(extra)), strict=False
            ):
                part.copy_(values.view_as(part))
            if extra:
                flag = flat[-1:]
        if not grads or grads[0].device.type != "cpu":
            self.sum_(flag)
        return bool(flag > 0)

    def _reduce(self, x: Tensor, operation: Any) -> Tensor:
        try:
            dist.all_reduce(x, operation)
        except RuntimeError as error:
            raise self.explain(error) from error
        return x


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum_(x.clone())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0], None


ALONE = Ranks()
_present = ALONE


def ranks() -> Ranks:
    """The processes that train together at this moment."""
    return _present


@contextmanager
def together(group: Ranks) -> Iterator[None]:
    """Let the modules share their batches among ``group`` while the block runs."""
    global _present
    _present = group
    try:
        yield
    finally:
        _present = ALONE


def check_rows(rows: dict[str, int], size: int) -> None:
    """Refuse shares without rows.

    Args:
        rows: Rows of the whole batch by name.
        size: Number of ranks.

    Raises:
        ConfigError: There are fewer rows than ranks.
    """
    for name, n in rows.items():
        if n < size:
            raise ConfigError(f"{name} has {n} rows, which cannot be shared by {size} ranks; take fewer ranks")


def check_network(network: nn.Module) -> None:
    """Refuse layers that look at a batch as a whole: on a share they would compute something else.

    Raises:
        ConfigError: The network has batch normalisation.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            kind = type(layer).__name__
            raise ConfigError(f"network: {kind} ({name}) mixes the rows of a batch; set trainer.devices=1")


class Environment(ClusterEnvironment):
    """What Lightning is told about a group that stands already; so it takes over no scheduler's signals.

    Args:
        group: The group.
    """

    def __init__(self, group: Ranks) -> None:
        super().__init__()
        self.group = group

    creates_processes_externally = True  # type: ignore[assignment]
    main_address, main_port = "", 0  # type: ignore[assignment]

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self.group.size

    def set_world_size(self, size: int) -> None:
        pass

    def global_rank(self) -> int:
        return self.group.rank

    def set_global_rank(self, rank: int) -> None:
        pass

    def local_rank(self) -> int:
        return 0  # the Trainer is given this rank's device only

    def node_rank(self) -> int:
        return self.group.rank


class Lockstep(DDPStrategy):
    """DDP without its wrapper: :func:`sciml.loop.run_steps` takes many steps a batch and sums the gradients itself.

    Nobody waits for rank 0 while it saves: only the optimiser steps are taken together.
    """

    def _configure_launcher(self) -> None:
        self._launcher = None

    def setup_distributed(self) -> None:
        self.set_world_ranks()  # the group itself stands already

    def configure_ddp(self) -> None:
        pass

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        pass
