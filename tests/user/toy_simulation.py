"""A simulation of a user's own, outside the package: noise, and it can be told to be slow, to fail, or to die."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import torch

from sciml.simulation.base import Simulation, generators


class Noise(Simulation):
    """Two states of noise, in chunks of two samples.

    Args:
        points: Grid points.
        log: A line with the process and the first sample is added to this file for each chunk.
        nap: Seconds that a chunk takes.
        nan: Sample that is not finite.
        fails: Sample whose chunk raises.
        dies: Sample at whose chunk the process kills itself, unless the file ``spared`` is there.
        spared: See above.
        stops: Sample at whose chunk the process is asked to stop, once.
    """

    version = 1
    periodic = (True,)
    chunk = 2

    def __init__(
        self,
        *,
        points: int = 4,
        log: str | None = None,
        nap: float = 0.0,
        nan: int | None = None,
        fails: int | None = None,
        dies: int | None = None,
        spared: str = "",
        stops: int | None = None,
    ) -> None:
        self.points, self.log, self.nap, self.nan, self.fails = points, log, nap, nan, fails
        self.dies, self.spared, self.stops = dies, spared, stops

    def coordinates(self) -> dict[str, np.ndarray]:
        return {"x-coordinate": np.arange(self.points) / self.points, "t-coordinate": np.arange(2.0)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {first}\n")
        chunk = range(first, first + count)
        if self.dies in chunk and not Path(self.spared).is_file():
            os.kill(os.getpid(), signal.SIGKILL)
        if self.stops in chunk:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self.nap)
        if self.fails in chunk:
            raise ZeroDivisionError("a line\nand another")
        drawn = [torch.randn(2, self.points, generator=g) for g in generators(self.name(), seed, first, count)]
        u = torch.stack(drawn).cumsum(-1).numpy()  # a sum whose bits depend on its order
        if self.nan in chunk:
            u[self.nan - first, 1, 0] = np.nan
        return {"tensor": u}
