r"""Vorticity on the torus at the first and the last time of a simulation, as joint fields :math:`(w_0, w_T) / s`.

Huang et al. (2024), *DiffusionPDE*, take ν = 1e-3, the forcing of Li et al. (2021) and T = 1, as the config does; the
solver is another (:mod:`sciml.simulation.navier_stokes`). Their data are divided by 1.6. With the default s either
channel has a standard deviation of 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.diffusion.dataset.simulated import Simulated
from sciml.errors import ConfigError
from sciml.simulation import navier_stokes

if TYPE_CHECKING:
    import h5py


@final
class NavierStokes(Simulated):
    """Fields ``(points, points, 2)``.

    Args:
        simulation: Of vorticity, with at least two states; the first and the last are taken.
        scale: s, the vorticity that is 1.
        n_train: Fields to fit to.
        n_val: Fields to choose settings with.
        n_test: Fields to judge with.
        seed: Of the samples.

    Raises:
        ConfigError: A number is too small, or the simulation is not of this kind.
    """

    names = ("initial", "final")

    def __init__(
        self,
        *,
        simulation: navier_stokes.NavierStokes,
        scale: float = 0.25,
        n_train: int = 4000,
        n_val: int = 200,
        n_test: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(simulation=simulation, n_train=n_train, n_val=n_val, n_test=n_test, seed=seed)
        if not isinstance(simulation, navier_stokes.NavierStokes) or simulation.frames < 2:
            raise ConfigError("dataset.simulation must be navier_stokes with two frames or more")
        if scale <= 0:
            raise ConfigError(f"dataset.scale is {scale}; it must be positive")
        self.scale, self.last = scale, simulation.frames - 1

    def channels(self, samples: h5py.File) -> list[np.ndarray]:
        vorticity: Any = samples["vorticity"]
        return [
            vorticity[:, frame] / self.scale for frame in (0, self.simulation.coordinates()["t-coordinate"].size - 1)
        ]
