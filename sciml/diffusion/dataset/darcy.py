r"""Darcy flow as joint fields :math:`(a, u)` on the nodes of the scheme, those of the boundary included.

.. math:: -\nabla\cdot(a \nabla u) = 1 \text{ on } (0, 1)^2, \qquad u = 0 \text{ on the boundary},

a one of two numbers by the sign of a Gaussian field (:mod:`sciml.simulation.darcy`), 3 and 12 in Huang et al. (2024),
*DiffusionPDE*. The channels are

.. math:: \frac{a - (a_{low} + a_{high})/2}{(a_{high} - a_{low})/2} \in \{-1, 1\}, \qquad u / s .

With s = 0.005 the solution has a root mean square of 1.3 and values up to 3.5. Deviations from DiffusionPDE, whose
data are 0.2 a - 1.5 and 115 u - 0.9: no shift of u, so that relative errors are those of the solution; and the
coefficient is given where the scheme takes it, not interpolated there by splines, which over- and undershoot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import numpy as np

from sciml.diffusion.dataset.simulated import Simulated
from sciml.diffusion.units import Units
from sciml.errors import ConfigError
from sciml.simulation import darcy

if TYPE_CHECKING:
    import h5py


@final
class Darcy(Simulated):
    """Fields ``(points, points, 2)``; ``scale`` is s."""

    names = ("coefficient", "solution")

    def check(self) -> None:
        flow = self.simulation
        if not isinstance(flow, darcy.Darcy) or (flow.law, flow.sampling) != ("threshold", "nodes"):
            raise ConfigError("dataset.simulation must be darcy with law: threshold and sampling: nodes")
        self.low, self.high = flow.low, flow.high
        self.units = Units([(flow.high - flow.low) / 2, self.scale], [(flow.high + flow.low) / 2, 0])

    def channels(self, samples: h5py.File) -> list[np.ndarray]:
        arrays: Any = samples
        half = (self.high - self.low) / 2
        return [(arrays["nu"][:] - self.low) / half - 1, arrays["tensor"][:, 0] / self.scale]
