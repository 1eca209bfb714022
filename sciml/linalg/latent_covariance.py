r"""A covariance :math:`\Sigma = F\,W\,F^T` of fields that a linear map F makes of fewer numbers.

Such a covariance is singular: fields outside the range of F do not occur. It is never inverted. W is a function of
:math:`F^T F = B\,\mathrm{diag}(l)\,B^T`, that is :math:`W = B\,\mathrm{diag}(w)\,B^T`; what is conditioned on noise
of a variance :math:`\sigma^2` has :math:`w = \sigma^2 / (l + \sigma^2)`, without a division by a small l.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor, nn

from sciml.linalg.covariance import ModalCovariance, Modes

_TOGETHER = 256  # points whose variance is taken in one go


class Synthesis(nn.Module, ABC):
    """The map F from squares of numbers ``(batch, n, n)`` to fields ``(batch, n, n, channels)``, kept in buffers.

    A reflected or transposed field, of any channel, is made of reflected or transposed modes.

    Attributes:
        shape: Of one field, ``(n, n, channels)``.
    """

    shape: tuple[int, int, int]

    @abstractmethod
    def forward(self, w: Tensor) -> Tensor:
        """F w."""

    @abstractmethod
    def transpose(self, x: Tensor) -> Tensor:
        """:math:`F^T x`."""


class Eigenbasis(ABC):
    """The orthonormal eigenvectors B of :math:`F^T F` for its eigenvalues ``values`` ``(n²,)``."""

    values: Tensor

    @abstractmethod
    def coordinates(self, w: Tensor) -> Tensor:
        """:math:`B^T w`, ``(batch, n, n)`` to ``(batch, n²)``."""

    @abstractmethod
    def combine(self, z: Tensor) -> Tensor:
        """B z, ``(batch, n²)`` to ``(batch, n, n)``."""


@final
class LatentModes(Modes):
    """F B.

    Args:
        synthesis: F.
        basis: B; None for the identity.
    """

    def __init__(self, synthesis: Synthesis, basis: Eigenbasis | None = None) -> None:
        self.synthesis, self.basis = synthesis, basis

    def analyse(self, x: Tensor) -> Tensor:
        w = self.synthesis.transpose(x)
        return w.flatten(1) if self.basis is None else self.basis.coordinates(w)

    def synthesise(self, z: Tensor) -> Tensor:
        n = self.synthesis.shape[0]
        return self.synthesis(z.unflatten(1, (n, n)) if self.basis is None else self.basis.combine(z))


@final
class LatentCovariance(ModalCovariance):
    """Args:
    modes: F B.
    weight: w, ``(n²,)``, not negative; None for 1.
    """

    def __init__(self, modes: LatentModes, weight: Tensor | None = None) -> None:
        self.modes, self._synthesis = modes, modes.synthesis
        self.weight = next(self._synthesis.buffers()).new_ones(()) if weight is None else weight
        self._variance: Tensor | None = None

    def root(self, z: Tensor) -> Tensor:
        """Of the first channel of ``z``: there are no more numbers than that to be drawn."""
        return self.modes.synthesise(self.weight.sqrt() * z[..., 0].flatten(1))

    def variance(self) -> Tensor:
        """The square norms of a root's rows, taken in one triangle of a quarter: all others are its images."""
        if self._variance is None:
            n, _, channels = self._synthesis.shape
            half = torch.arange((n + 1) // 2)
            i, j = (part.flatten() for part in torch.meshgrid(half, half, indexing="ij"))
            i, j = i[i <= j], j[i <= j]
            found = torch.stack([self._rows(i, j, channel) for channel in range(channels)], -1)
            place = torch.zeros(len(half), len(half), dtype=torch.long)
            place[i, j] = place[j, i] = torch.arange(len(i))
            image = torch.minimum(torch.arange(n), torch.arange(n).flip(0))
            self._variance = found[place[image][:, image].to(found.device)]
        return self._variance

    def _rows(self, i: Tensor, j: Tensor, channel: int) -> Tensor:
        """Variances of a channel at some points."""
        found = []
        for across, down in zip(i.split(_TOGETHER), j.split(_TOGETHER), strict=True):
            x = self.weight.new_zeros(len(across), *self._synthesis.shape)
            x[torch.arange(len(across)), across, down, channel] = 1
            found.append((self.modes.analyse(x).square() * self.weight).sum(1))
        return torch.cat(found)
