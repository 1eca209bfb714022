"""Samples of a simulation, from the data cache; made by whoever needs them first (:mod:`sciml.simulation.ready`)."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import final

from torch import Tensor

from sciml.operator.source.base import Recording, Source
from sciml.operator.source.pdebench import PDEBench
from sciml.ranges import Count, Natural
from sciml.simulation.base import Simulation
from sciml.simulation.ready import ready


@final
class Generated(Source):
    """The first ``n`` samples of a simulation.

    Args:
        simulation: What makes them.
        n: How many.
        seed: Of the samples; not the run's seed, so that all runs of a table share them.
    """

    def __init__(self, *, simulation: Simulation, n: Count, seed: Natural = 0) -> None:
        self.simulation, self.n, self.seed = simulation, n, seed

    def read(self) -> Recording:
        file, discard = ready(self.simulation, self.n, self.seed)
        recording = PDEBench(path=str(file), periodic=list(self.simulation.periodic), ends=True).read()

        def close() -> None:
            recording.close()
            gone()

        gone = weakref.finalize(close, discard)
        return replace(recording, name=f"{self.n} samples of {self.simulation.name()}", close=close)

    def advance(self, u: Tensor, dt: float) -> Tensor:
        return self.simulation.advance(u, dt)
