r"""Noise with the covariance :math:`e^{-|r| / \ell} + \delta^2` on the unit square or cube, reflected at its walls.

That of Yao et al. (2025), *Guided Diffusion Sampling on Function Spaces with Applications to PDEs* (FunDPS), whose code
calls :math:`e^{-|r| / 2 s^2}` with s = 0.05, an :math:`\ell = 2 s^2` of 0.005, a radial basis function and adds
:math:`\delta = 0.01`. That is less than the distance of two points on a grid of 128: neighbours correlate by 0.21, on a
grid of 64 by 0.04, and the noise is nearly white.

Deviation: a field is correlated with its mirror images in the walls too, as if they were not there, which makes C
diagonal in the cosine basis. A product is a transform, where theirs is with a dense matrix of all points.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from sciml.diffusion.coloured import Noise
from sciml.ranges import Count, Positive, PositiveFraction


@final
class Exponential(Noise):
    """Args:
    shape: Shape of one field, ``(*grid, channels)``; a side has length 1.
    length: Distance over which the correlation falls by e.
    nugget: Standard deviation δ of a white part.
    """

    def __init__(self, *, shape: tuple[Count, ...], length: PositiveFraction = 0.005, nugget: Positive = 0.01) -> None:
        self._length, self._nugget = length, nugget
        super().__init__(shape=shape)

    def spectrum(self, grid: tuple[int, ...]) -> Tensor:
        # A field and its mirror images repeat with period 2; the kernel is summed over the periods that it reaches.
        reach = math.ceil(40 * self._length / 2)
        distances = [torch.arange(2 * n, dtype=torch.float64) / n for n in grid]
        kernel = torch.zeros([2 * n for n in grid], dtype=torch.float64)
        shifts = torch.arange(-reach, reach + 1, dtype=torch.float64) * 2
        for shift in torch.cartesian_prod(*[shifts] * len(grid)).reshape(-1, len(grid)):
            squares = [(d - s).square() for d, s in zip(distances, shift, strict=True)]
            kernel += torch.exp(-torch.stack(torch.meshgrid(*squares, indexing="ij")).sum(0).sqrt() / self._length)
        inside = tuple(slice(n) for n in grid)
        return torch.fft.fftn(kernel).real[inside] + self._nugget**2
