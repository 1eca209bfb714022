r"""A measurement of fields in a user's own units, as one of the fields that a prior knows.

With a linear measurement :math:`y = A f + \eta` of :math:`f = s x + o`, and noise of standard deviation
:math:`\sigma_i` in :math:`y_i`

.. math:: \frac{\sigma}{\sigma_i} (y - A o)_i = \Big(\frac{\sigma}{\sigma_i} A s x\Big)_i + N(0, \sigma^2)

is a linear measurement of x with the same noise :math:`\sigma` in every number, which is what solvers and exact
posteriors are made for. A measurement that is not linear sees :math:`s x + o` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import LinearMeasurement, Measurement
from sciml.diffusion.units import Units


def standardised(
    measurement: Measurement, y: Tensor, units: Units, shape: Sequence[int], std: Tensor | None = None
) -> tuple[Measurement, Tensor, Tensor]:
    """A measurement of x, and what it gave, from one of f.

    Args:
        measurement: Of f.
        y: Observations ``(rows, m)`` of f.
        units: From x to f.
        shape: Of one field, ``(*grid, channels)``.
        std: Of the noise in each number of y, ``(m,)``; None: the measurement's own.

    Returns:
        A measurement of the same kind, linear or not; its observations; and the factor from differences of y to theirs,
        ``(m,)``.
    """
    one = torch.ones_like(y[0])
    plain = all(s == 1 for s in units.scale) and all(o == 0 for o in units.offset)
    if plain and std is None:
        return measurement, y, one
    weight = one if std is None else measurement.noise_std / std
    if not isinstance(measurement, LinearMeasurement):
        return _Standardised(measurement, units, weight), y * weight, weight
    y = y - measurement(units.fields(y.new_zeros(1, *shape)))
    if std is None and len(set(units.scale)) == 1:  # itself in another unit: some solvers want one of its class
        scaled = copy(measurement)
        scaled.noise_std, scaled.calls = measurement.noise_std / units.scale[0], 0
        return scaled, y / units.scale[0], one / units.scale[0]
    return _LinearStandardised(measurement, units, weight), y * weight, weight


@final
class _Standardised(Measurement):
    """W A(s x + o)."""

    def __init__(self, measurement: Measurement, units: Units, weight: Tensor) -> None:
        super().__init__(noise_std=measurement.noise_std)
        self._measurement, self._units, self._weight = measurement, units, weight

    def forward(self, x: Tensor) -> Tensor:
        return self._measurement(self._units.fields(x)) * self._weight


@final
class _LinearStandardised(LinearMeasurement):
    """W A s x."""

    def __init__(self, measurement: LinearMeasurement, units: Units, weight: Tensor) -> None:
        super().__init__(noise_std=measurement.noise_std)
        self._measurement, self._units, self._weight = measurement, units, weight

    def forward(self, x: Tensor) -> Tensor:
        return self._measurement(self._units.size(x)) * self._weight

    def transpose(self, y: Tensor) -> Tensor:
        return self._units.size(self._measurement.adjoint(y * self._weight))
