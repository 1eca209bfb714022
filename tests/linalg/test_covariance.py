from __future__ import annotations

import pytest
import torch

from sciml.linalg.covariance import FactoredCovariance
from sciml.linalg.dense_covariance import DenseCovariance
from sciml.linalg.spectral_covariance import SpectralCovariance, cosine_basis

SHAPE = (3, 4, 2)


def spd(d: int) -> torch.Tensor:
    a = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return a @ a.T + torch.eye(d, dtype=torch.float64)


def spectral() -> tuple[SpectralCovariance, torch.Tensor]:
    variance = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1
    bases = [cosine_basis(3), cosine_basis(4)]
    # the naive transcription: one basis field after the other
    matrix = torch.zeros(24, 24, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            for c in range(2):
                field = torch.zeros(SHAPE, dtype=torch.float64)
                field[:, :, c] = torch.outer(bases[0][i], bases[1][j])
                matrix += variance[i, j, c] * torch.outer(field.flatten(), field.flatten())
    return SpectralCovariance(variance, bases), matrix


def cases() -> list[tuple[FactoredCovariance, torch.Tensor]]:
    return [(DenseCovariance(spd(24), SHAPE), spd(24)), spectral()]


@pytest.mark.parametrize(("covariance", "matrix"), cases(), ids=["dense", "spectral"])
def test_every_operation_agrees_with_the_matrix(covariance: FactoredCovariance, matrix: torch.Tensor) -> None:
    x = torch.randn(5, *SHAPE, dtype=torch.float64)
    torch.testing.assert_close(covariance.dense(x[0]), matrix)
    torch.testing.assert_close(covariance.matvec(x).flatten(1), x.flatten(1) @ matrix)
    torch.testing.assert_close(covariance.variance().flatten(), matrix.diagonal())
    identity = torch.eye(24, dtype=torch.float64).reshape(24, *SHAPE)
    root = covariance.root(identity).flatten(1).T
    torch.testing.assert_close(root @ root.T, matrix)


def test_cosine_basis_is_orthonormal_and_diagonalises_the_neumann_laplacian() -> None:
    n = 6
    basis = cosine_basis(n)
    torch.testing.assert_close(basis @ basis.T, torch.eye(n, dtype=torch.float64))
    laplacian = 2 * torch.eye(n, dtype=torch.float64)
    neighbour = torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    laplacian -= neighbour + neighbour.T
    laplacian[0, 0] = laplacian[-1, -1] = 1  # mirrored at the walls, half a cell outside the outer centres
    k = torch.arange(n, dtype=torch.float64)
    torch.testing.assert_close(basis @ laplacian @ basis.T, torch.diag(2 - 2 * torch.cos(torch.pi * k / n)))


def test_indefinite_covariances_are_refused() -> None:
    with pytest.raises(ValueError, match="not positive definite"):
        DenseCovariance(torch.diag(torch.tensor([1.0, -1.0])), (2,))
    with pytest.raises(ValueError, match="positive"):
        SpectralCovariance(torch.tensor([1.0, 0.0]), [cosine_basis(2)])
    with pytest.raises(ValueError, match="2 x 2 matrix"):
        DenseCovariance(torch.eye(3), (2,))
