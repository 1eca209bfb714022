r"""Fourier sampling: some coefficients of the orthonormal discrete Fourier transform, as in magnetic resonance imaging.

.. math:: A x = (\mathrm{Re}\,M F x,\; \mathrm{Im}\,M F x), \qquad
          A^T (p, q) = \mathrm{Re}\,F^{-1} M^T (p + iq)

for real fields, F over all axes of the grid and M the choice of whole lines: wavenumbers of the last axis (the phase
encoding), with every wavenumber of the others. Of n lines n / acceleration are measured: those around zero, the share
``centre`` of n and one at least, and others, evenly spaced (``uniform``) or drawn at random (``random``), as in Zbontar
et al. (2018), *fastMRI: An Open Dataset and Benchmarks for Accelerated MRI* (8 % in the middle at acceleration 4, 4 %
at 8). The coefficients of a real field at k and −k say the same; where both are measured, so do their observations,
each with noise of its own.
"""

from __future__ import annotations

from typing import Annotated, Literal, final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement
from sciml.errors import ConfigError
from sciml.ranges import Count, Fraction, Natural, Positive, Range


@final
class Fourier(LinearMeasurement):
    """Real parts of the measured coefficients, then imaginary parts.

    Args:
        shape: Shape of one field, ``(*grid, channels)``; channels are transformed apart.
        pattern: ``uniform`` or ``random``.
        acceleration: n over the number of lines.
        centre: Share of the n lines that is measured around wavenumber zero.
        noise_std: Standard deviation of the noise of each part.
        seed: Draws the random lines; not the run's seed, so that all runs of a table share them.

    Raises:
        ConfigError: The acceleration is above the number of lines, or the middle takes more than are measured.
    """

    lines: Tensor

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        pattern: Literal["uniform", "random"],
        acceleration: Annotated[float, Range(1)],
        centre: Fraction,
        noise_std: Positive,
        seed: Natural = 0,
    ) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)
        n = self.shape[-2]
        if acceleration > n:
            raise ConfigError(f"measurement.acceleration is {acceleration}; there are {n} lines")
        count, middle = round(n / acceleration), max(1, round(centre * n))
        if middle > count:
            raise ConfigError(f"measurement.centre is {centre}: {middle} lines in the middle, of {count} measured")
        by_size = torch.tensor(sorted(range(n), key=lambda k: (min(k, n - k), k > n // 2)))  # 0, 1, -1, 2, ...
        others = by_size[middle:].sort().values
        if pattern == "random":
            chosen = torch.randperm(len(others), generator=stream("lines", seed))[: count - middle]
        else:
            places = torch.arange(count - middle, dtype=torch.float64) + 0.5
            chosen = (places * (len(others) / max(1, count - middle))).floor().long()
        self.register_buffer("lines", torch.cat([by_size[:middle], others[chosen]]).sort().values)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(range(1, len(self.shape)))

    def forward(self, x: Tensor) -> Tensor:
        coefficients = torch.fft.fftn(x, dim=self._axes, norm="ortho").index_select(-2, self.lines).flatten(1)
        return torch.cat([coefficients.real, coefficients.imag], dim=1)

    def transpose(self, y: Tensor) -> Tensor:
        real, imaginary = y.chunk(2, dim=1)
        measured = torch.complex(real, imaginary).reshape(len(y), *self.shape[:-2], -1, self.shape[-1])
        full = measured.new_zeros(len(y), *self.shape).index_copy(-2, self.lines, measured)
        return torch.fft.ifftn(full, dim=self._axes, norm="ortho").real
