"""Samples of a simulation, read from the data cache; made, with a bar or lines in the log, by whoever needs them first.

The file is that of ``sciml data generate`` with the same settings: who has made it there has it here.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import final

from rich.console import Console
from torch import Tensor

from sciml.data import cache
from sciml.operator.source.base import Recording, Source
from sciml.operator.source.pdebench import PDEBench
from sciml.signals import heed
from sciml.simulation.apart import measured
from sciml.simulation.base import Simulation
from sciml.simulation.showing import Shown
from sciml.simulation.store import stored


@final
class Generated(Source):
    """The first ``n`` samples of a simulation.

    Args:
        simulation: What makes them.
        n: How many.
        seed: Of the samples; not the run's seed, so that all runs of a table share them.
    """

    def __init__(self, *, simulation: Simulation, n: int, seed: int = 0) -> None:
        if n < 1 or seed < 0:
            raise ValueError(f"n must be at least 1 and seed not negative, not {n} and {seed}")
        self.simulation, self.n, self.seed = simulation, n, seed

    def read(self) -> Recording:
        root = cache.folder()
        if root is not None:
            return self._read(root)
        folder = Path(tempfile.mkdtemp(prefix="sciml-"))  # outside of a run: it goes with the recording
        recording = self._read(folder)

        def close() -> None:
            recording.close()
            gone()

        gone = weakref.finalize(close, shutil.rmtree, folder, ignore_errors=True)
        return replace(recording, close=close)

    def advance(self, u: Tensor, dt: float) -> Tensor:
        return self.simulation.advance(u, dt)

    def _read(self, root: Path) -> Recording:
        watch = _Heeding(Console(stderr=True))
        file = stored(self.simulation, self.n, self.seed, root, make=measured, watch=watch)
        recording = PDEBench(path=str(file), periodic=list(self.simulation.periodic), ends=True).read()
        return replace(recording, name=f"{self.n} samples of {self.simulation.name()}")


class _Heeding(Shown):
    """A run that is asked to stop does so after the chunk in hand; the chunks are kept."""

    def advance(self, done: int) -> None:
        super().advance(done)
        heed()
