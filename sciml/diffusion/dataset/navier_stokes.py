r"""Vorticity on the torus at the first and the last time of a simulation, as joint fields :math:`(w_0, w_T) / s`.

Huang et al. (2024), *DiffusionPDE*, take ν = 1e-3, the forcing of Li et al. (2021) and T = 1, as the config does; the
solver is another (:mod:`sciml.simulation.navier_stokes`). With s = 0.25 either channel has a standard deviation of
1.0; they divide by 1.6. In their data, by the repository of Yao et al. (2025), *FunDPS*, it is 0.262 and 0.256.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.diffusion.dataset.simulated import Simulated
from sciml.diffusion.units import Units
from sciml.errors import ConfigError
from sciml.simulation import navier_stokes

if TYPE_CHECKING:
    import h5py


@final
class NavierStokes(Simulated):
    """Fields ``(points, points, 2)``; ``scale`` is s, and the simulation has at least two states."""

    names = ("initial", "final")

    def check(self) -> None:
        if not isinstance(self.simulation, navier_stokes.NavierStokes) or self.simulation.frames < 2:
            raise ConfigError("dataset.simulation must be navier_stokes with two frames or more")
        self.last, self.units = self.simulation.frames - 1, Units([self.scale])

    def channels(self, samples: h5py.File) -> list[np.ndarray]:
        vorticity: Any = samples["vorticity"]
        return [vorticity[:, frame] / self.scale for frame in (0, self.last)]
