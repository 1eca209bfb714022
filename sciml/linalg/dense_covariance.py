r"""Covariances of matrices, :math:`L L^T` or :math:`V\,\mathrm{diag}(v)\,V^T`: for small problems, and as oracles."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.linalg.covariance import FactoredCovariance, ModalCovariance, Modes


@final
class DenseCovariance(FactoredCovariance):
    """Args:
        matrix: Symmetric positive definite ``(d, d)``; fields are taken in row-major order.
        shape: Shape of one field, with d entries.

    Raises:
        ValueError: The matrix is not positive definite or does not fit the shape.
    """

    def __init__(self, matrix: Tensor, shape: tuple[int, ...]) -> None:
        if matrix.shape != (d := torch.Size(shape).numel(), d):
            raise ValueError(f"a covariance of fields {tuple(shape)} is a {d} x {d} matrix, not {tuple(matrix.shape)}")
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) != 0:
            raise ValueError(f"the covariance matrix is not positive definite (leading minor {int(info)})")
        self._matrix, self._factor, self._shape = matrix, factor, tuple(shape)

    def matvec(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self._matrix).reshape(x.shape)

    def root(self, z: Tensor) -> Tensor:
        return (z.flatten(1) @ self._factor.T).reshape(z.shape)

    def variance(self) -> Tensor:
        return self._matrix.diagonal().reshape(self._shape)


@final
class DenseModes(Modes):
    """Args:
    vectors: The modes as columns, ``(d, modes)``.
    shape: Of one field, with d entries.
    """

    def __init__(self, vectors: Tensor, shape: tuple[int, ...]) -> None:
        self.vectors, self.shape = vectors, tuple(shape)

    def analyse(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.vectors

    def synthesise(self, z: Tensor) -> Tensor:
        return (z @ self.vectors.T).reshape(-1, *self.shape)


@final
class EigenCovariance(ModalCovariance):
    """Args:
    modes: All eigenvectors.
    weight: Eigenvalues ``(d,)``, not negative.
    """

    def __init__(self, modes: DenseModes, weight: Tensor) -> None:
        self.modes, self.weight, self._dense = modes, weight, modes

    def root(self, z: Tensor) -> Tensor:
        return self.modes.synthesise(z.flatten(1) * self.weight.sqrt())

    def variance(self) -> Tensor:
        return (self._dense.vectors.square() @ self.weight).reshape(self._dense.shape)
