"""Joint fields out of a simulation: what an equation is given, and what it makes of it, one channel each.

The samples are those of the data cache (:mod:`sciml.simulation.ready`), so that a training set of neural operators with
the same settings is the same file. The first ``n_test`` are for the test, the next ``n_val`` for validation, the
others for training: training on more or fewer leaves the others what they were.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, final

import numpy as np
import torch
from torch import Tensor

from sciml.data.hdf5 import opened
from sciml.diffusion.base import Dataset
from sciml.ranges import Count, Natural, Positive
from sciml.simulation.base import Simulation
from sciml.simulation.ready import ready

if TYPE_CHECKING:
    import h5py


class Simulated(Dataset):
    """Args:
        simulation: What makes the samples.
        scale: The number of the simulation's that is 1 here; of which channels, the data set says.
        n_train: Fields to fit to.
        n_val: Fields to choose settings with.
        n_test: Fields to judge with.
        seed: Of the samples; not the run's seed, so that all runs of a table share them.

    Raises:
        ConfigError: The simulation is of another kind.
    """

    def __init__(
        self,
        *,
        simulation: Simulation,
        scale: Positive,
        n_train: Count = 4000,
        n_val: Count = 200,
        n_test: Count = 200,
        seed: Natural = 0,
    ) -> None:
        self.counts = {"train": n_train, "val": n_val, "test": n_test}
        self.simulation, self.scale, self.seed = simulation, scale, seed
        self.check()
        grid = [len(axis) for name, axis in simulation.coordinates().items() if name[0] in "xyz"]
        self.shape, self.periodic = (*grid, len(self.names)), simulation.periodic

    @final
    def splits(self) -> dict[str, Tensor]:
        file, discard = ready(self.simulation, sum(self.counts.values()), self.seed)
        try:
            with opened(file) as samples:
                x = np.stack([np.asarray(channel, dtype=np.float32) for channel in self.channels(samples)], axis=-1)
        finally:
            discard()
        test, val, train = torch.from_numpy(x).split([self.counts[name] for name in ("test", "val", "train")])
        return {"train": train, "val": val, "test": test}

    @abstractmethod
    def check(self) -> None:
        """Refuse a simulation that does not make these channels.

        Raises:
            ConfigError: It does not; the line says which one would.
        """

    @abstractmethod
    def channels(self, samples: h5py.File) -> list[np.ndarray]:
        """The channels ``(n, *grid)``, scaled, out of a file as :mod:`sciml.simulation.layout` has it."""
