r"""Filtered back-projection: the inverse of the Radon transform, made for many views and no noise. A floor.

.. math:: x = \frac{\pi}{V} \sum_k q_k(s(x, \theta_k)), \qquad
          q_{kj} = \Delta \sum_i h_{j - i}\, y_{ki}, \qquad
          h_0 = \frac{1}{4\Delta^2}, \quad h_{odd} = -\frac{1}{\pi^2 j^2 \Delta^2}, \quad h_{even} = 0 ,

with V views and detectors at distances :math:`\Delta`: Kak and Slaney (1988), *Principles of Computerized Tomographic
Imaging*, section 3.3 with the ramp of eq. 61, which is sampled in space, so that nothing wraps around. A ``window``
damps the high frequencies. The sum over the views is the measurement's own adjoint: in each view the lengths of all
lines in a pixel add up to about its area over :math:`\Delta`. No prior is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.measurement.radon import Radon
from sciml.errors import ConfigError, RunError
from sciml.ranges import PositiveFraction

# Of the frequency as a part of the highest, in [0, 1].
WINDOWS: dict[str, Callable[[Tensor], Tensor]] = {
    "ramp": torch.ones_like,
    "shepp_logan": lambda f: torch.sinc(f / 2),
    "cosine": lambda f: torch.cos(math.pi / 2 * f),
    "hann": lambda f: (1 + torch.cos(math.pi * f)) / 2,
}


@final
class FilteredBackprojection(Solver):
    """One product with the adjoint.

    Args:
        window: ``ramp`` for none, ``shepp_logan``, ``cosine`` or ``hann``.
        cutoff: Where the window ends, as a part of the highest frequency; nothing passes beyond.

    Raises:
        ConfigError: An unknown window.
    """

    measures: ClassVar[type[Measurement]] = Radon
    random: ClassVar[bool] = False

    def __init__(self, *, window: str = "ramp", cutoff: PositiveFraction = 1.0) -> None:
        if window not in WINDOWS:
            raise ConfigError(f"solver.window is '{window}'; it must be one of {', '.join(WINDOWS)}")
        self.window, self.cutoff = window, cutoff

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        if not isinstance(measurement, Radon):
            raise RunError(f"solver filtered_backprojection needs measurement radon, not {type(measurement).__name__}")
        filtered = self._filtered(y.unflatten(1, (measurement.views, -1)), measurement.spacing).flatten(1)
        pixel = (2 / shape[1]) ** 2
        return math.pi / measurement.views * measurement.spacing / pixel * measurement.adjoint(filtered)

    def _filtered(self, views: Tensor, spacing: float) -> Tensor:
        """Each view ``(..., D)`` convolved with the ramp."""
        n = views.shape[-1]
        j = torch.arange(-n, n, dtype=views.dtype, device=views.device)
        ramp = torch.where(j % 2 == 0, 0, -1 / (math.pi * j * spacing) ** 2)
        ramp[n] = 1 / (4 * spacing**2)
        f = torch.linspace(0, 1, n + 1, dtype=views.dtype, device=views.device) / self.cutoff
        window = torch.where(f <= 1, WINDOWS[self.window](f), 0)
        response = torch.fft.rfft(ramp.roll(-n)) * window
        return spacing * torch.fft.irfft(torch.fft.rfft(views, n=2 * n) * response, n=2 * n)[..., :n]
