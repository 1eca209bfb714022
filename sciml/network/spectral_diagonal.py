r"""A learned multiplier for every Fourier mode of a periodic field on an interval.

.. math:: \hat v_k = W_k \hat u_k \quad (k < K), \qquad \hat v_k = 0 \quad (k \ge K),

:math:`W_k` a complex out x in matrix: one layer of Li et al. (2021), *Fourier Neural Operator for Parametric
Partial Differential Equations*, eq. 4 and 5, without its pointwise part. It represents every linear
constant-coefficient equation on K modes exactly, on any grid. Deviation: real and imaginary parts are two
real parameters, which every optimiser handles alike.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from sciml.ranges import Count


class SpectralDiagonal(nn.Module):
    """Linear, translation equivariant, the same operator on every grid.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        modes: Number of modes K that pass, the constant one included.

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: Symmetries that it has by construction.
        grid_free: A field sampled on a finer grid gives the same output there.
    """

    spatial_dims: ClassVar[int] = 1
    equivariant: ClassVar[frozenset[str]] = frozenset({"translation"})
    grid_free: ClassVar[bool] = True

    def __init__(self, in_features: Count, out_features: Count, *, modes: Count = 16) -> None:
        super().__init__()
        self.modes = modes
        self.weight = nn.Parameter(torch.randn(modes, in_features, out_features, 2) / in_features)

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(batch, points, in_features)`` to ``(batch, points, out_features)``."""
        spectrum = torch.fft.rfft(u, dim=1)
        kept = min(self.modes, spectrum.shape[1])
        weight = torch.view_as_complex(self.weight[:kept])
        mixed = torch.einsum("bki,kio->bko", spectrum[:, :kept], weight)
        return torch.fft.irfft(mixed, n=u.shape[1], dim=1)  # absent modes count as zero
