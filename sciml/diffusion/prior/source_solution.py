r"""A random source and the solution of a linear elliptic equation: a Gaussian prior that is known exactly.

.. math:: \nabla^2 u + k^2 u = a \text{ on } (0, 1)^2, \qquad u = 0 \text{ on the boundary},

the Poisson (k = 0) and Helmholtz (k = 1) problems of Huang et al. (2024), *DiffusionPDE*, as the scripts of its
repository make the data: on n x n points a is the field with independent cosine coefficients (type II) of standard
deviations :math:`n\tau^{\alpha-1}(\pi^2 |\kappa|^2 + \tau^2)^{-\alpha/2}` without the constant one, and u the solution
of the five-point scheme with the points at i / (n - 1). A field is :math:`x = (a / s_a, u / s_u)`.

x is a linear map F of the white noise w behind the coefficients of a: cosines for a; for u sines, of

.. math:: \hat u = \frac{M (c \circ w) M^T}{\lambda}, \qquad M_{ij} = \langle \sin_i, \cos_j \rangle ,

c the standard deviations, :math:`\lambda_{ij}` the eigenvalues of the scheme. So with
:math:`x_\sigma = x + \sigma\epsilon`

.. math:: E[x|x_\sigma] = F (F^T F + \sigma^2 I)^{-1} F^T x_\sigma, \qquad
          \mathrm{Cov}[x|x_\sigma] = \sigma^2 F (F^T F + \sigma^2 I)^{-1} F^T ,

where :math:`F^T F` commutes with the symmetries of the square (:mod:`sciml.linalg.square_symmetry`): at 128 x 128 its
eigenvectors take about a minute, once, and a mean some milliseconds a field. Samples and exact posteriors do not need
them. Where the noise has a covariance C, diagonal in the cosine basis, :math:`C^{-1/2} F` takes the place of F, and
:math:`C^{-1/2} x_\sigma` that of the field.

The published data have this law: the repository of Yao et al. (2025), *FunDPS*, gives their standard deviations of a
and u as 0.2919 and 0.004175 for Poisson, 0.2845 and 0.004280 for Helmholtz; those of the law are 0.2921 and 0.004176,
0.2846 and 0.004282.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch
from torch import Generator, Tensor

from sciml.data import cache
from sciml.data.stream import normal
from sciml.diffusion.base import ExactPosterior, LinearMeasurement, Measurement, Posterior, Prior
from sciml.diffusion.coloured import Noise
from sciml.diffusion.conditioning import GaussianPosterior
from sciml.errors import ConfigError
from sciml.linalg.latent_covariance import LatentCovariance, LatentModes, Synthesis
from sciml.linalg.spectral_covariance import cosine_basis
from sciml.linalg.square_symmetry import BLOCKS, Block, SquareBasis
from sciml.ranges import Count, NonNegative, Positive

VERSION = 1  # of the stored eigenvectors


@final
class SourceSolution(Prior):
    """Channels are the source and the solution.

    Args:
        shape: ``(n, n, 2)``.
        k: Wave number; 0 for Poisson.
        alpha: Smoothness of the source.
        tau: Its inverse length scale.
        zero_edges: The source is set to zero at the outermost points, as in the Helmholtz data.
        scale: Sizes :math:`s_a, s_u` that one unit of either channel stands for.
        noise: Of its noisy versions; None for white noise.

    Raises:
        ConfigError: The shape is no such pair of at least 4 x 4 points, :math:`-k^2` is an eigenvalue
            of the scheme, or the noise is not the same along both axes.
    """

    gaussian: bool = True
    has_covariance: bool = True
    axes: ClassVar[int | None] = 2
    channels: ClassVar[int | None] = 2

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        k: float = 0.0,
        alpha: Positive = 2.0,
        tau: NonNegative = 3.0,
        zero_edges: bool = False,
        scale: tuple[Positive, Positive] = (1.0, 1.0),
        noise: Noise | None = None,
    ) -> None:
        super().__init__()
        if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 4 or shape[2] != 2:
            raise ConfigError(f"prior source_solution needs a shape [n, n, 2] with n >= 4, not {list(shape)}")
        self._settings = {"n": shape[0], "k": float(k), "alpha": float(alpha), "tau": float(tau)}
        self._settings |= {"zero_edges": bool(zero_edges), "scale": [float(one) for one in scale]}
        self._pair = Pair(**self._settings)
        self.noise = noise
        if noise is not None:
            self._settings["noise"] = hashlib.sha256(noise.variance.numpy().tobytes()).hexdigest()
            if not torch.allclose(noise.variance, noise.variance.transpose(0, 1)):
                raise ConfigError("prior.noise must be the same along both axes")
        self._modes: LatentModes | None = None
        self._covariance = LatentCovariance(LatentModes(self._pair))

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        if math.isinf(sigma):
            return Posterior(torch.zeros_like(x_t), self._covariance)
        modes = self._eigenmodes()
        assert modes.basis is not None  # those of the law itself alone have none
        gain = 1 / (modes.basis.values + sigma**2)
        white = x_t if self.noise is None else self.noise.covariance(-1).matvec(x_t)
        mean = modes.synthesise(gain * modes.analyse(white))
        return Posterior(mean, LatentCovariance(modes, sigma**2 * gain))

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior | None:
        if not isinstance(measurement, LinearMeasurement):
            return None
        return GaussianPosterior(y.new_zeros(len(y), *self._pair.shape), self._covariance, measurement, y)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self._pair(normal((n, *self._pair.std.shape), generator, self._pair.std))

    def _eigenmodes(self) -> LatentModes:
        """Made at the first need, or read where the run keeps generated data."""
        if self._modes is None:
            root = cache.folder()
            if root is None:
                parts = self._decomposed()
            else:
                settings = {"name": "source_solution", "settings": self._settings, "version": VERSION}
                with np.load(cache.entry(root, **settings, generate=self._write), allow_pickle=False) as file:
                    arrays = [torch.from_numpy(file[str(i)]) for i in range(len(file.files))]
                parts = list(zip(arrays[::2], arrays[1::2], strict=True))
            here = [(values.to(self.device), vectors.to(self.device)) for values, vectors in parts]
            self._modes = LatentModes(self._pair, SquareBasis(self._pair.shape[0], here))
        return self._modes

    def _decomposed(self) -> list[tuple[Tensor, Tensor]]:
        return self._pair.decomposed(None if self.noise is None else self.noise.variance[..., 0])

    def _write(self, path: Path) -> None:
        parts = [array.cpu().numpy() for part in self._decomposed() for array in part]
        arrays: dict[str, Any] = {str(i): part for i, part in enumerate(parts)}
        with open(path, "wb") as file:
            np.savez(file, **arrays)


@final
class Pair(Synthesis):
    """F: white noise to the scaled pair. Arguments as those of the prior.

    Raises:
        ConfigError: The scheme is singular.
    """

    std: Tensor
    cosines: Tensor
    sines: Tensor
    cross: Tensor
    eigenvalues: Tensor

    def __init__(self, *, n: int, k: float, alpha: float, tau: float, zero_edges: bool, scale: Sequence[float]) -> None:
        super().__init__()
        self.shape, self.scale = (n, n, 2), tuple(scale)
        squares = (math.pi * torch.arange(n, dtype=torch.float64)).square()
        std = n * tau ** (alpha - 1) * (squares[:, None] + squares + tau**2) ** (-alpha / 2)
        std[0, 0] = 0
        cosines, sines = cosine_basis(n), torch.zeros(n - 2, n, dtype=torch.float64)
        mode = torch.arange(1, n - 1, dtype=torch.float64)
        sines[:, 1:-1] = math.sqrt(2 / (n - 1)) * torch.sin(math.pi / (n - 1) * torch.outer(mode, mode))
        along = -(2 * (n - 1) * torch.sin(math.pi / 2 / (n - 1) * mode)).square()
        eigenvalues = along[:, None] + along + k**2
        if eigenvalues.abs().min() < 1e-9 * eigenvalues.abs().max():
            raise ConfigError(f"prior.k is {k:g}: minus its square is an eigenvalue of the five-point scheme")
        cross = sines @ cosines.T
        cross[(torch.arange(n - 2)[:, None] + torch.arange(n)) % 2 == 1] = 0  # odd times even, up to rounding
        if zero_edges:
            cosines[:, 0] = cosines[:, -1] = 0
        parts = {"std": std, "cosines": cosines, "sines": sines, "cross": cross, "eigenvalues": eigenvalues}
        for name, part in parts.items():
            self.register_buffer(name, part, persistent=False)

    def forward(self, w: Tensor) -> Tensor:
        coefficients = self.std * w
        a = self.cosines.T @ coefficients @ self.cosines
        u = self.sines.T @ (self.cross @ coefficients @ self.cross.T / self.eigenvalues) @ self.sines
        return torch.stack([a / self.scale[0], u / self.scale[1]], -1)

    def transpose(self, x: Tensor) -> Tensor:
        a, u = x[..., 0] / self.scale[0], x[..., 1] / self.scale[1]
        source = self.cosines @ a @ self.cosines.T
        return self.std * (source + self.cross.T @ (self.sines @ u @ self.sines.T / self.eigenvalues) @ self.cross)

    def decomposed(self, noise: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        r"""Eigenvalues and eigenvectors of the parts of :math:`F^T C^{-1} F`, those of ``BLOCKS``.

        Args:
            noise: Variances of the cosine coefficients of the noise, ``(n, n)``; None for white noise.
        """
        return [self._decomposed(block, noise) for block in BLOCKS]

    def _decomposed(self, block: Block, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        std = self.std[block.pairs(len(self.std))]
        source = block.squared(self.cosines @ self.cosines.T)  # a projection: what zero edges leave of each mode
        solution = block.squared(self.cross) / self.eigenvalues[block.pairs(len(self.cross))][:, None]
        if noise is None:
            gram = source / self.scale[0] ** 2 + solution.T @ solution / self.scale[1] ** 2
        else:
            solution, weight = block.squared(self.cross.T) @ solution, 1 / noise[block.pairs(len(noise))][:, None]
            gram = source.T @ (weight * source) / self.scale[0] ** 2
            gram += solution.T @ (weight * solution) / self.scale[1] ** 2
        values, vectors = torch.linalg.eigh(std[:, None] * gram * std)
        return values.clamp_min(0), vectors
