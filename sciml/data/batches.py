"""Batches as rows of a seeded permutation: the data stay one tensor, a batch is an index into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from sciml.errors import ConfigError


class Batches:
    """Endless batches of indices; every epoch is a fresh permutation, its incomplete last batch is dropped.

    Args:
        n: Number of examples.
        batch_size: Indices a batch, at most ``n``.
        generator: Where the permutations come from; belongs to this object alone.

    Raises:
        ConfigError: ``batch_size`` is above ``n``.
    """

    def __init__(self, n: int, batch_size: int, generator: Generator) -> None:
        if batch_size > n:
            raise ConfigError(f"batch_size is {batch_size}; there are only {n} training examples")
        self.n, self.batch_size, self.generator = n, batch_size, generator
        self._start_epoch()

    def _start_epoch(self) -> None:
        # The state from before the permutation is all that is needed to have it again.
        self._before = self.generator.get_state()
        self._order = torch.randperm(self.n, generator=self.generator)
        self._position = 0

    def next(self) -> Tensor:
        """The next ``(batch_size,)`` indices."""
        if self._position + self.batch_size > self.n:
            self._start_epoch()
        first = self._position
        self._position += self.batch_size
        return self._order[first : self._position]

    def state_dict(self) -> dict[str, Any]:
        """Plain data from which :meth:`load_state_dict` continues with the very next batch."""
        return {"generator": self._before, "position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken."""
        self.generator.set_state(state["generator"].cpu())
        self._start_epoch()
        self._position = int(state["position"])
