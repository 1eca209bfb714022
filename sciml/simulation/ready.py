"""Samples of a simulation for a run: read from the data cache; made, with a bar or lines in the log, by who is first.

The file is that of ``sciml data generate`` with the same settings: who has made it there has it here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from sciml.data import cache
from sciml.signals import heed
from sciml.simulation.apart import measured
from sciml.simulation.base import Simulation
from sciml.simulation.showing import Shown
from sciml.simulation.store import stored


def ready(simulation: Simulation, n: int, seed: int) -> tuple[Path, Callable[[], None]]:
    """The file with the first ``n`` samples of a seed (:mod:`sciml.simulation.layout`), not to be written to.

    Args:
        simulation: What makes them.
        n: How many.
        seed: Of the samples; not the run's seed, so that all runs of a table share them.

    Returns:
        The file, and what gives it back: outside of a run there is no cache, and then it goes.

    Raises:
        RunError: A sample cannot be computed; the cache cannot be written.
    """
    root = cache.folder()
    watch = _Heeding(Console(stderr=True))
    if root is not None:
        return stored(simulation, n, seed, root, make=measured, watch=watch), lambda: None
    folder = Path(tempfile.mkdtemp(prefix="sciml-"))

    def discard() -> None:
        shutil.rmtree(folder, ignore_errors=True)

    try:
        return stored(simulation, n, seed, folder, make=measured, watch=watch), discard
    except BaseException:
        discard()
        raise


class _Heeding(Shown):
    """A run that is asked to stop does so after the chunk in hand; the chunks are kept."""

    def advance(self, done: int) -> None:
        super().advance(done)
        heed()
