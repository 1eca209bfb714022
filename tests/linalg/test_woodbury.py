"""Every answer against the dense inverse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.linalg import woodbury
from sciml.linalg.woodbury import BlockWoodbury, Woodbury, add_moments

SIZES = {"few rows": (5, 13), "many rows": (13, 5), "square": (6, 6)}


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(woodbury, "CHUNK", 20)
    monkeypatch.setattr(woodbury, "CACHED", 30)
    monkeypatch.setattr(woodbury, "STRIPE", 2)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def dense(rows: Tensor, damping: float, scale: float, block_size: int | None = None) -> Tensor:
    d = rows.shape[1]
    fisher = rows.double().T @ rows.double() / scale
    block = torch.arange(d) // (block_size or d)
    fisher = torch.where(block[:, None] == block, fisher, 0.0)
    return torch.linalg.inv(fisher + damping * torch.eye(d, dtype=torch.float64))


def agree(inverse: Woodbury | BlockWoodbury, matrix: Tensor, rows: Tensor) -> None:
    d, m = matrix.shape[0], len(rows)
    v, u, c = normal(2, 3, d, seed=1), normal(4, d, seed=2), normal(2, 3, m, seed=3)
    torch.testing.assert_close(inverse.solve(v), v @ matrix)
    torch.testing.assert_close(inverse.solve(v[0, 0]), v[0, 0] @ matrix)
    torch.testing.assert_close(inverse.solve_rows(c), c @ rows.double() @ matrix)
    torch.testing.assert_close(inverse.solve_rows(c[0, 0]), c[0, 0] @ rows.double() @ matrix)
    torch.testing.assert_close(inverse.quadratic(u, v[0]), u @ matrix @ v[0].T)
    torch.testing.assert_close(inverse.diagonal(), matrix.diagonal())
    if isinstance(inverse, Woodbury):
        torch.testing.assert_close(inverse.against_rows(u), u @ matrix @ rows.double().T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", SIZES)
def test_everything_agrees_with_the_dense_inverse(size: str, dtype: torch.dtype) -> None:
    rows = normal(*SIZES[size], dtype=dtype)
    matrix = dense(rows, 0.3, 2.5)
    inverse = Woodbury(rows, 0.3, scale=2.5)
    agree(inverse, matrix, rows)
    i, j = torch.tensor([0, 1, 4, 4]), torch.tensor([0, 3, 2, 4])
    torch.testing.assert_close(inverse.elements(i, j), matrix[i, j])


@pytest.mark.parametrize("block_size", [1, 3, 5, 13, 20, None])
def test_blocks_agree_with_the_inverse_of_the_block_diagonal(block_size: int | None) -> None:
    rows = normal(4, 13)
    agree(
        BlockWoodbury(rows, 0.3, scale=4, block_size=block_size),
        dense(rows, 0.3, 4, block_size),
        rows,
    )


@pytest.mark.parametrize("size", SIZES)
def test_a_sliding_window_is_the_inverse_of_the_rows_that_are_in_it(size: str) -> None:
    m, d = SIZES[size]
    rows, new = normal(m, d), normal(2 * m, d, seed=4)
    inverse = Woodbury(rows.clone(), 0.1, scale=m)
    for step, row in enumerate(new):
        inverse.replace(step % m, row)
        rows[step % m] = row
    agree(inverse, dense(rows, 0.1, m), rows)


def test_a_window_fills_from_nothing_and_keeps_its_gram_matrix_where_it_was_given() -> None:
    m, d = 6, 4
    rows, gram, new = torch.zeros(m, d), torch.zeros(m, m, dtype=torch.float64), normal(8, d, dtype=torch.float32)
    inverse = Woodbury(rows, 0.1, scale=m, gram=gram, filled=0)
    for step, row in enumerate(new):
        inverse.replace(step % m, row)
        # the scale stays m: rows that are not there yet count as zeros
        agree(inverse, dense(rows, 0.1, m), rows)
        torch.testing.assert_close(gram, rows.double() @ rows.double().T)
    with pytest.raises(IndexError, match="row 6 of 6"):
        inverse.replace(6, new[0])


def test_a_combination_of_rows_is_solved_without_cancellation() -> None:
    rows = 1e3 * normal(5, 40, dtype=torch.float32)
    inverse = Woodbury(rows, 1e-9, scale=5)
    solved = inverse.solve_rows(torch.eye(5))
    # Multiplied by the matrix, it must give the rows back.
    products = solved @ rows.double().T
    back = 1e-9 * solved + products @ rows.double() / 5
    torch.testing.assert_close(back, rows.double(), rtol=1e-10, atol=1e-8)


def test_what_cannot_be_inverted_is_refused() -> None:
    rows = normal(2, 3)
    with pytest.raises(ValueError, match="damping is 0"):
        Woodbury(rows, 0)
    with pytest.raises(ValueError, match="scale is -1"):
        Woodbury(rows, 1, scale=-1)
    with pytest.raises(ValueError, match=r"rows must be \(m, d\)"):
        Woodbury(rows[0], 1)
    with pytest.raises(ValueError, match=r"gram must be \(2, 2\)"):
        Woodbury(rows, 1, gram=torch.eye(3).double())
    with pytest.raises(ValueError, match="block_size is 0"):
        BlockWoodbury(rows, 1, block_size=0)
    with pytest.raises(ValueError, match="not finite"):
        Woodbury(rows / 0, 1).solve(rows)
    with pytest.raises(ValueError, match=r"damping 1e-30 is below the rounding errors"):
        Woodbury(torch.ones(3, 4), 1e-30).solve(torch.ones(4))


def test_moments_stand_for_rows_that_nobody_holds() -> None:
    rows, (u, v) = normal(13, 5), (normal(4, 5, seed=2), normal(3, 5, seed=1))
    moments = torch.zeros(5, 5, dtype=torch.float64)
    for part in rows.split(4):
        add_moments(moments, part)
    torch.testing.assert_close(moments, rows.T @ rows)
    inverse, matrix = Woodbury.of_moments(moments, 0.3, scale=2.0), dense(rows, 0.3, 2.0)
    torch.testing.assert_close(inverse.solve(v), v @ matrix)
    torch.testing.assert_close(inverse.quadratic(u, v), u @ matrix @ v.T)
    torch.testing.assert_close(inverse.diagonal(), matrix.diagonal())
    with pytest.raises(ValueError, match=r"moments must be \(d, d\)"):
        Woodbury.of_moments(rows, 0.3)
