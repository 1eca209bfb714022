from __future__ import annotations

import pytest
import torch

from sciml.linalg.square_symmetry import BLOCKS, SquareBasis


def keeps_parity(rows: int, columns: int) -> torch.Tensor:
    matrix = torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))
    return torch.where((torch.arange(rows)[:, None] + torch.arange(columns)) % 2 == 0, matrix, 0.0)


@pytest.mark.parametrize("n", [5, 6])
def test_the_parts_are_those_of_the_whole_matrix(n: int) -> None:
    """A ⊗ A of a matrix that keeps parities, and a function of it, taken part by part."""
    one = keeps_parity(n, n)
    one = one + one.T
    parts = [torch.linalg.eigh(block.squared(one)) for block in BLOCKS]
    basis = SquareBasis(n, [(values, vectors) for values, vectors in parts])
    whole = torch.kron(one, one)
    x = torch.randn(3, n, n, dtype=torch.float64)
    torch.testing.assert_close(basis.combine(basis.coordinates(x)), x)
    torch.testing.assert_close(basis.coordinates(x).norm(dim=1), x.flatten(1).norm(dim=1))
    cubed = basis.combine(basis.values**3 * basis.coordinates(x))
    torch.testing.assert_close(cubed.flatten(1), x.flatten(1) @ whole @ whole @ whole)


@pytest.mark.parametrize("n", [5, 6])
def test_parts_of_a_map_between_grids_have_the_singular_values_of_the_whole(n: int) -> None:
    one = keeps_parity(n - 2, n)
    found = [torch.linalg.svdvals(block.squared(one)).repeat(len(block.signs)) for block in BLOCKS]
    assert sum(len(block.pairs(n)[0]) * len(block.signs) for block in BLOCKS) == n * n
    whole = torch.linalg.svdvals(torch.kron(one, one))
    torch.testing.assert_close(torch.cat(found).sort(descending=True).values[: len(whole)], whole)
