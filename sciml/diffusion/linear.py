r"""Least squares with one linear measurement, for any regularisation at once.

With :math:`A A^T = U\,\mathrm{diag}(s)\,U^T`, made once,

.. math:: \arg\min_x \|y - A x\|^2 + \lambda \|x - x_0\|^2
          = x_0 + A^T U\,\mathrm{diag}\Big(\frac{1}{s + \lambda}\Big) U^T (y - A x_0),

and for :math:`\lambda = 0` the projection of :math:`x_0` onto the fields that agree with y (pseudo-inverse: directions
with :math:`s < 10^{-10} s_{max}` are left alone).
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import LinearMeasurement, Measurement
from sciml.errors import RunError

LARGEST = 8192  # observations: A A^T is then 0.5 GB, and takes a minute


def linear(measurement: Measurement, who: str) -> LinearMeasurement:
    """The measurement, if it is linear.

    Raises:
        RunError: It is not.
    """
    if not isinstance(measurement, LinearMeasurement):
        raise RunError(f"{who} needs a linear measurement, not {type(measurement).__name__}")
    return measurement


@final
class LeastSquares:
    """Factors a measurement once.

    Args:
        measurement: A.
        like: Any observations ``(batch, m)``; gives m, dtype and device.

    Raises:
        RunError: There are too many observations for a dense factorisation.
    """

    def __init__(self, measurement: LinearMeasurement, like: Tensor) -> None:
        m = like.shape[-1]
        if m > LARGEST:
            raise RunError(f"{m} observations are too many for a dense factorisation (at most {LARGEST})")
        self._measurement = measurement
        identity = torch.eye(m, dtype=like.dtype, device=like.device)
        gram = measurement(measurement.adjoint(identity))
        self._values, self._vectors = torch.linalg.eigh((gram + gram.T) / 2)
        self._values = self._values.clamp_min(0)

    def weights(self, residual: Tensor, damping: float) -> Tensor:
        r""":math:`(A A^T + \lambda I)^{-1}` times each row of ``residual`` ``(batch, m)``."""
        if damping:
            inverse = 1 / (self._values + damping)
        else:
            usable = self._values > 1e-10 * self._values.max()
            inverse = torch.where(usable, 1 / self._values, torch.zeros_like(self._values))
        return (residual @ self._vectors * inverse) @ self._vectors.T

    def toward(self, x: Tensor, y: Tensor, damping: float) -> Tensor:
        """The minimiser above, next to each field of ``x`` ``(batch, *shape)``; ``y`` ``(batch, m)``."""
        return x + self._measurement.adjoint(self.weights(y - self._measurement(x), damping))
