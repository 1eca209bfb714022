"""What a long computation is at, in words for whoever waits: said where it is known, shown by :mod:`sciml.progress`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STAGES: list[str | Callable[[], str]] = []  # of this process, which makes one run at a time


@contextmanager
def stage(what: str | Callable[[], str]) -> Iterator[None]:
    """Say what is done while the block runs; stages within stages are named one after the other.

    Args:
        what: The words, or what makes them when they are shown: from another thread, so it must only read.
    """
    _STAGES.append(what)
    try:
        yield
    finally:
        _STAGES.pop()


def stages() -> str:
    """All that is being done, the outermost first; empty where nobody has said anything."""
    return ", ".join(what if isinstance(what, str) else what() for what in tuple(_STAGES))
