r"""The denoising loss of a run, with noise that is given: its levels and its residuals.

A run of :class:`sciml.diffusion.training.Denoising` minimises the mean over fields of

.. math:: E_{\sigma,\epsilon}\,\frac1d\|D(x + \sigma\epsilon; \sigma) - x\|^2_{\lambda(\sigma)}

and draws level and noise anew in every step. Here the levels are the quantiles :math:`(k + \tfrac12)/K` of their law,
K strata of equal weight.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sciml.diffusion.preconditioner.base import Denoiser
    from sciml.diffusion.training import Denoising


def quantiles(run: Denoising, number: int) -> Tensor:
    """Noise levels ``(number,)`` in float64, from low to high."""
    uniform = (torch.arange(number, dtype=torch.float64) + 0.5) / number
    return run.preconditioner.levels(uniform)


def scale(denoiser: Denoiser, sigma: Tensor, field: Tensor) -> Tensor:
    r""":math:`\sqrt{\lambda(\sigma)/d}` of one level, for fields of the shape of ``field``: ``(*1, channels or 1)``."""
    weight = denoiser.weight(sigma.reshape(1))[0].to(field.dtype)
    return (weight / field.numel()).sqrt()


def weighted(denoiser: Denoiser, noisy: Tensor, sigma: Tensor, x: Tensor) -> Tensor:
    """Residuals whose squares sum up to the loss of each field at one level, ``(n, *grid, channels)``."""
    residual = denoiser(noisy, sigma.reshape(1).expand(len(noisy))) - x
    return scale(denoiser, sigma, x[0]) * residual
