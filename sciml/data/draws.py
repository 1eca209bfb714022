"""What a module in training draws: batches, and other random numbers, each from a stream of its own, all resumable."""

from __future__ import annotations

from typing import Any

from torch import Generator, Tensor

from sciml.data.batches import Batches
from sciml.data.stream import stream


class Draws:
    """Streams ``<owner>/batches`` and ``<owner>/<name>`` for each name.

    Args:
        owner: Whose they are.
        names: What is drawn beside batches.
    """

    def __init__(self, owner: str, *names: str) -> None:
        self._streams = {name: stream(f"{owner}/{name}") for name in ("batches", *names)}
        self._batches: Batches | None = None
        self._loaded: dict[str, Any] | None = None  # of batches, before there were any

    def __getitem__(self, name: str) -> Generator:
        """The stream of that name."""
        return self._streams[name]

    def order(self, n: int, batch_size: int) -> None:
        """Begin with batches of ``n`` examples, or go on with those of a state that was loaded.

        Raises:
            ConfigError: ``batch_size`` is above ``n``.
        """
        self._batches = Batches(n, batch_size, self._streams["batches"])
        if self._loaded is not None:
            self._batches.load_state_dict(self._loaded)

    def batch(self) -> Tensor:
        """Indices of the next batch, once :meth:`order` has been called."""
        assert self._batches is not None
        return self._batches.next()

    def state_dict(self) -> dict[str, Any]:
        """Plain data from which :meth:`load_state_dict` continues with the very next numbers."""
        assert self._batches is not None
        streams = {name: generator.get_state() for name, generator in self._streams.items() if name != "batches"}
        return {"batches": self._batches.state_dict(), "streams": streams}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where ``state`` was taken, before or after the data are there."""
        self._loaded = state["batches"]
        for name, found in state.get("streams", {}).items():  # older states of batches alone have none
            self._streams[name].set_state(found.cpu())
        if self._batches is not None:
            self._batches.load_state_dict(state["batches"])
