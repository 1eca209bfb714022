r"""Darcy flow as joint fields :math:`(a, u)` on the nodes of the scheme, those of the boundary included.

.. math:: -\nabla\cdot(a \nabla u) = 1 \text{ on } (0, 1)^2, \qquad u = 0 \text{ on the boundary},

a one of two numbers by the sign of a Gaussian field (:mod:`sciml.simulation.darcy`), 3 and 12 in Huang et al. (2024),
*DiffusionPDE*. The channels are

.. math:: \frac{a - (a_{low} + a_{high})/2}{(a_{high} - a_{low})/2} \in \{-1, 1\}, \qquad u / s .

With the default s the solution has a root mean square of 1.3 and values up to 3.5. Deviations from DiffusionPDE, whose
data are 0.2 a - 1.5 and 115 u - 0.9: no shift of u, so that relative errors are those of the solution; and the
coefficient is given where the scheme takes it, not interpolated there by splines, which over- and undershoot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.diffusion.dataset.simulated import Simulated
from sciml.errors import ConfigError
from sciml.simulation import darcy

if TYPE_CHECKING:
    import h5py


@final
class Darcy(Simulated):
    """Fields ``(points, points, 2)``.

    Args:
        simulation: Of Darcy flow, with two coefficients at the nodes.
        scale: s, the solution that is 1.
        n_train: Fields to fit to.
        n_val: Fields to choose settings with.
        n_test: Fields to judge with.
        seed: Of the samples.

    Raises:
        ConfigError: A number is too small, or the simulation is not of this kind.
    """

    names = ("coefficient", "solution")

    def __init__(
        self,
        *,
        simulation: darcy.Darcy,
        scale: float = 0.005,
        n_train: int = 4000,
        n_val: int = 200,
        n_test: int = 200,
        seed: int = 0,
    ) -> None:
        super().__init__(simulation=simulation, n_train=n_train, n_val=n_val, n_test=n_test, seed=seed)
        if not isinstance(simulation, darcy.Darcy) or (simulation.law, simulation.sampling) != ("threshold", "nodes"):
            raise ConfigError("dataset.simulation must be darcy with law: threshold and sampling: nodes")
        if scale <= 0:
            raise ConfigError(f"dataset.scale is {scale}; it must be positive")
        self.low, self.high, self.scale = simulation.low, simulation.high, scale

    def channels(self, samples: h5py.File) -> list[np.ndarray]:
        arrays: Any = samples
        half = (self.high - self.low) / 2
        return [(arrays["nu"][:] - self.low) / half - 1, arrays["tensor"][:, 0] / self.scale]
