"""Every operation against the matrix; a fit against the law that the data were drawn from."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from sciml.linalg import low_rank_covariance
from sciml.linalg.covariance import Covariance
from sciml.linalg.low_rank_covariance import LowRankCovariance, fitted
from sciml.linalg.spectral_covariance import cosine_basis, fourier_basis, transform

SHAPE = (3, 4, 2)
BASES = [cosine_basis(3), fourier_basis(4)]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=Generator().manual_seed(seed))


def made(rank: int = 3) -> tuple[LowRankCovariance, Tensor]:
    """A covariance and its matrix: one basis field after the other, then the columns in real space."""
    spectrum, factor = normal(*SHAPE, seed=0).exp(), normal(rank, *SHAPE, seed=1)
    matrix = torch.zeros(24, 24, dtype=torch.float64)
    for i in range(3):
        for j in range(4):
            for c in range(2):
                field = torch.zeros(SHAPE, dtype=torch.float64)
                field[:, :, c] = torch.outer(BASES[0][i], BASES[1][j])
                matrix += spectrum[i, j, c] * torch.outer(field.flatten(), field.flatten())
    for column in torch.einsum("ki,lj,rklc->rijc", *BASES, factor).flatten(1):
        matrix += torch.outer(column, column)
    return LowRankCovariance(spectrum, factor, BASES), matrix


def agree(covariance: LowRankCovariance, matrix: Tensor, rtol: float = 1e-10) -> None:
    close = {"rtol": rtol, "atol": rtol * float(matrix.abs().max())}
    x = normal(5, *SHAPE, seed=2)
    torch.testing.assert_close(covariance.matvec(x).flatten(1), x.flatten(1) @ matrix, **close)
    torch.testing.assert_close(covariance.variance().flatten(), matrix.diagonal(), **close)
    root = covariance.root(torch.eye(24, dtype=torch.float64).reshape(24, *SHAPE)).flatten(1).T
    torch.testing.assert_close(root @ root.T, matrix, **close)


@pytest.mark.parametrize("rank", [0, 3, 30])
def test_every_operation_agrees_with_the_matrix(rank: int) -> None:
    agree(*made(rank))


@pytest.mark.parametrize("sigma", [1e-3, 0.3, 20.0])
def test_the_covariance_given_a_noisy_field_agrees_with_the_matrix(sigma: float) -> None:
    covariance, matrix = made()
    eye = torch.eye(24, dtype=torch.float64)
    agree(covariance.posterior(sigma), torch.linalg.inv(torch.linalg.inv(matrix) + eye / sigma**2))
    # knowing two noisy versions is knowing one of their combined precision
    twice = covariance.posterior(sigma).posterior(2 * sigma)
    once = covariance.posterior(sigma * math.sqrt(0.8))
    torch.testing.assert_close(twice.dense(eye[0].reshape(SHAPE)), once.dense(eye[0].reshape(SHAPE)))


def test_a_noise_level_without_end_says_nothing() -> None:
    covariance, _ = made()
    assert covariance.posterior(math.inf) is covariance


def test_shapes_and_variances_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factor is \(1, 2\), expected \(r, 3\)"):
        LowRankCovariance(torch.ones(3), torch.ones(1, 2), [cosine_basis(3)])
    with pytest.raises(ValueError, match="positive"):
        LowRankCovariance(torch.tensor([1.0, 0.0]), torch.ones(1, 2), [cosine_basis(2)])


@pytest.mark.parametrize("n", [4, 5])
def test_fourier_basis_is_orthonormal_and_diagonalises_a_shift_invariant_matrix(n: int) -> None:
    basis = fourier_basis(n)
    torch.testing.assert_close(basis @ basis.T, torch.eye(n, dtype=torch.float64))
    eye = torch.eye(n, dtype=torch.float64)
    laplacian = 2 * eye - eye.roll(1, 0) - eye.roll(-1, 0)
    k = torch.tensor([0, 1, 1, 2, 2][:n], dtype=torch.float64)
    torch.testing.assert_close(basis @ laplacian @ basis.T, torch.diag(2 - 2 * torch.cos(2 * torch.pi * k / n)))


class TestFit:
    @pytest.fixture(params=["all", "random subspace"])
    def either(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param != "all":
            monkeypatch.setattr(low_rank_covariance, "_EXACT", 0)
            monkeypatch.setattr(low_rank_covariance, "_EXTRA", 2)

    @pytest.mark.usefixtures("either")
    @pytest.mark.parametrize("n", [20, 60])
    def test_agrees_with_the_data_along_each_basis_function_and_among_the_components(self, n: int) -> None:
        data = 3 + made()[0].root(normal(n, *SHAPE, seed=3))
        fit = fitted(data, BASES, rank=4, generator=Generator().manual_seed(0))
        torch.testing.assert_close(fit.mean, data.mean(0))
        coefficients = transform(data, BASES)
        torch.testing.assert_close(fit.spectrum + fit.factor.square().sum(0), coefficients.var(0))
        _, values, right = torch.linalg.svd((coefficients - coefficients.mean(0)).flatten(1), full_matrices=False)
        expected = values[:4].square() / (n - 1)
        covariance = LowRankCovariance(fit.spectrum, fit.factor, BASES)
        fields = transform(right[:4].reshape(4, *SHAPE), [basis.T for basis in BASES])
        among = torch.einsum("a...,b...->ab", fields, covariance.matvec(fields))
        torch.testing.assert_close(among, torch.diag(expected), rtol=1e-3, atol=1e-3 * float(expected[0]))
        assert fit.share == pytest.approx(float(expected.sum() / coefficients.var(0).sum()), rel=1e-3)

    @pytest.mark.usefixtures("either")
    def test_recovers_the_law_that_the_data_were_drawn_from(self) -> None:
        columns = 4 * torch.linalg.qr(normal(24, 2, seed=4)).Q.T.reshape(2, *SHAPE)
        # Where D is the same everywhere the columns are principal components: the data say which.
        law = LowRankCovariance(torch.ones(SHAPE, dtype=torch.float64), columns, BASES)
        n = 20000
        fit = fitted(law.root(normal(n, *SHAPE, seed=5)), BASES, rank=2, generator=Generator().manual_seed(0))
        like = law.spectrum
        found = LowRankCovariance(fit.spectrum, fit.factor, BASES).dense(like)
        # an entry of a sample covariance is off by sqrt((c_ii c_jj + c_ij^2) / n)
        truth = law.dense(like)
        off = ((truth.diagonal()[:, None] * truth.diagonal() + truth.square()) / n).sqrt()
        assert float(((found - truth) / off).abs().max()) < 4
        torch.testing.assert_close(fit.spectrum, law.spectrum, rtol=0.05, atol=0)

    def test_a_direction_without_variance_gets_the_floor(self) -> None:
        data = normal(50, *SHAPE, seed=6)
        data[..., 1] = data[..., 0]
        fit = fitted(data, BASES, rank=12, generator=Generator().manual_seed(0), floor=1e-6)
        mean = float(transform(data, BASES).var(0).mean())
        torch.testing.assert_close(fit.spectrum, torch.full(SHAPE, 1e-6 * mean, dtype=torch.float64))
        assert fit.share == pytest.approx(1)

    def test_refuses_what_has_no_covariance(self) -> None:
        generator = Generator()
        with pytest.raises(ValueError, match="two fields or more, not 1"):
            fitted(torch.ones(1, *SHAPE), BASES, rank=0, generator=generator)
        with pytest.raises(ValueError, match="all equal"):
            fitted(torch.ones(3, *SHAPE), BASES, rank=0, generator=generator)
        with pytest.raises(ValueError, match="rank is 3; 3 fields of 24 entries have 0 to 2"):
            fitted(normal(3, *SHAPE, seed=0), BASES, rank=3, generator=generator)


def test_one_channel_is_a_block_of_the_matrix() -> None:
    covariance, matrix = made()
    x = normal(5, *SHAPE[:2], 1, seed=3)
    block = matrix.reshape(12, 2, 12, 2)[:, 1, :, 1]
    expected = (x.flatten(1) @ block).reshape(x.shape)
    torch.testing.assert_close(covariance.marginal(1, 2).matvec(x), expected)
    torch.testing.assert_close(Covariance.marginal(covariance, 1, 2).matvec(x), expected)  # as any has it


def test_products_between_fields_are_those_with_the_matrix() -> None:
    covariance, matrix = made()
    x = normal(2, 3, *SHAPE, seed=4)
    expected = x.flatten(2) @ matrix @ x.flatten(2).mT
    torch.testing.assert_close(covariance.gram(x), expected)
    torch.testing.assert_close(Covariance.gram(covariance, x), expected)
