"""The toy of tests/user, which can be stopped at a step from outside: by a file that is its gate."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from toy_package import Toy

AT = 15


class Gated(Toy):
    """At its fifteenth step it waits while ``<gates>/<seed>`` exists, or until it is told to stop.

    With ``<gates>/<seed>.eat`` it uses up all the memory that it can get.
    """

    def __init__(
        self,
        *,
        network: Callable[[int, int], nn.Module],
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        gates: str,
    ) -> None:
        super().__init__(network=network, optimizer=optimizer)
        self.gates = Path(gates)

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        if self.count + 1 == AT:
            self.wait()
        return super().losses()

    def wait(self) -> None:
        gate = self.gates / str(torch.initial_seed())
        if (greed := gate.with_suffix(".eat")).exists():
            greed.unlink()
            eaten = []
            while True:
                eaten.append(bytearray(50_000_000))
        if gate.exists():
            gate.with_suffix(".held").touch()
            while gate.exists() and not self.trainer.should_stop:
                time.sleep(0.02)
            gate.unlink(missing_ok=True)
