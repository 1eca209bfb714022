r"""The covariance of what a denoiser leaves, measured on fields that it was trained on.

At each noise level

.. math:: \Sigma_\sigma = \mathrm{Cov}\big[x - D(x + \sigma\epsilon; \sigma)\big]
          = E_{x_\sigma}\,\mathrm{Cov}[x | x_\sigma]

for the best denoiser: the mean of the covariances that the states of this level have, and so the one with which a
linear correction of D by observations is best on average. For :math:`\sigma = \infty` the correction is the best linear
estimate from the training pairs. Bao et al. (2022), *Analytic-DPM*, take the mean of the diagonal; Peng et al. (2024),
*Improving Diffusion Models for Inverse Problems Using Optimal Posterior Covariance*, section 4.2, the diagonal in space
or in wavelets; here it is the covariance of N errors itself, as in an ensemble Kalman filter, which knows how points
and channels hang together. N errors tell what m observations mean if N is several times m; where the fields' law has
the symmetries of the square, each error stands for eight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from sciml.data.dihedral import ELEMENTS, image
from sciml.data.stream import normal, stream
from sciml.diffusion.preconditioner.base import Denoiser
from sciml.linalg.covariance import Covariance

TOGETHER = 128  # fields denoised at once


@final
class ErrorCovariance(Covariance):
    """Errors are made when it is first multiplied with: most solvers never do.

    Args:
        errors: Makes them, or has them, ``(N, *shape)``.
        dihedral: Each stands for its eight images as well.
        closed: The axes close.
    """

    shared: bool = True

    def __init__(self, errors: Callable[[], Tensor], *, dihedral: bool, closed: bool) -> None:
        self._errors, self._dihedral, self._closed = errors, dihedral, closed

    def matvec(self, x: Tensor) -> Tensor:
        errors, flat = self._errors(), x.flatten(1)
        elements = ELEMENTS if self._dihedral else ELEMENTS[:1]  # the first changes nothing
        found = torch.zeros_like(flat)
        for element in elements:
            rows = image(errors, element, closed=self._closed).flatten(1).to(flat.dtype)
            found += (flat @ rows.T) @ rows
        return (found / (len(errors) * len(elements))).reshape(x.shape)


def errors_of(denoiser: Denoiser, fields: Tensor, sigma: float) -> Tensor:
    """What the denoiser leaves of fields ``(N, *grid, channels)`` with noise of this level, always the same."""
    noise = normal(tuple(fields.shape), stream("error-covariance", 0), fields)
    left = fields.clone()
    for i in range(0, len(fields), TOGETHER):
        part = slice(i, i + TOGETHER)
        left[part] -= denoiser.mean(fields[part] + sigma * noise[part], sigma)
    return left
