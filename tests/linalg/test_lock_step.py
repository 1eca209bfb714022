from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients


def systems() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(4, 6, 6, generator=generator, dtype=torch.float64)
    matrices = root @ root.mT + torch.eye(6) * torch.tensor([0.1, 1.0, 10.0, 100.0]).reshape(-1, 1, 1)
    return matrices, torch.randn(4, 6, generator=generator, dtype=torch.float64)


def solve(which: list[int], rtol: float = 1e-4, iterations: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    matrices, b = (x[which] for x in systems())
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    return conjugate_gradients(
        lambda x: (matrices @ x.unsqueeze(-1)).squeeze(-1), lambda r: r / diagonal, b, rtol=rtol, iterations=iterations
    )


def test_each_system_is_solved_as_if_alone() -> None:
    matrices, b = systems()
    x, taken = solve([0, 1, 2, 3])
    torch.testing.assert_close(x, torch.linalg.solve(matrices, b.unsqueeze(-1)).squeeze(-1), rtol=1e-2, atol=0)
    assert len(set(taken.tolist())) > 1  # so that some waited for others
    for i in range(4):
        alone, steps = solve([i])
        torch.testing.assert_close(x[i : i + 1], alone, rtol=1e-12, atol=0)
        assert steps.item() == taken[i]


def test_a_right_side_of_zero_and_one_that_takes_too_long() -> None:
    matrices, b = systems()
    x, taken = conjugate_gradients(
        lambda x: (matrices @ x.unsqueeze(-1)).squeeze(-1), lambda r: r, 0 * b, rtol=1e-8, iterations=5
    )
    assert x.abs().max() == 0
    assert taken.max() == 0
    with pytest.raises(RunError, match="after 2 iterations"):
        solve([0, 1], iterations=2)
