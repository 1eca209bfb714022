from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients, minimal_residuals


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


def indefinite() -> tuple[torch.Tensor, torch.Tensor]:
    """Four matrices, neither symmetric nor positive, the i-th with i + 1 different eigenvalues."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.randn(4, 6, 6, generator=generator, dtype=torch.float64)
    values = torch.tensor([[1, 1, 1, 1, 1, 1], [1, -2, 1, -2, 1, -2], [1, -2, 3] * 2, [1, -2, 3, 5, 1, -2]])
    matrices = basis @ torch.diag_embed(values.double()) @ torch.linalg.inv(basis)
    return matrices, torch.randn(4, 6, generator=generator, dtype=torch.float64)


def minimise(which: list[int], iterations: int, *, must_converge: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    matrices, b = (x[which] for x in indefinite())
    limits = {"rtol": 1e-10, "iterations": iterations, "must_converge": must_converge}
    return minimal_residuals(lambda x: (matrices @ x.unsqueeze(-1)).squeeze(-1), b, **limits)


def test_minimal_residuals_of_each_system_are_those_of_least_squares_in_its_krylov_space() -> None:
    matrices, b = indefinite()
    for iterations in (1, 2, 3):
        x, _ = minimise([0, 1, 2, 3], iterations)
        for i in range(4):
            powers = [b[i]]
            for _ in range(min(iterations, i + 1) - 1):
                powers.append(matrices[i] @ powers[-1])
            space = torch.stack(powers, 1)
            best = space @ torch.linalg.lstsq(matrices[i] @ space, b[i].unsqueeze(1)).solution
            torch.testing.assert_close(x[i], best.squeeze(1), rtol=1e-8, atol=1e-10)


def test_minimal_residuals_must_have_converged_where_that_is_asked_for() -> None:
    minimise([0, 1, 2, 3], 4, must_converge=True)
    with pytest.raises(RunError, match=r"minimal residuals left .* after 3 iterations"):
        minimise([0, 1, 2, 3], 3, must_converge=True)


def test_systems_that_have_converged_wait_for_the_others() -> None:
    matrices, b = indefinite()
    x, taken = minimise([0, 1, 2, 3], 6)
    torch.testing.assert_close(x, torch.linalg.solve(matrices, b.unsqueeze(-1)).squeeze(-1), rtol=1e-8, atol=1e-10)
    assert taken.tolist() == [1, 2, 3, 4]  # a step for each eigenvalue
    for i in range(4):
        torch.testing.assert_close(x[i : i + 1], minimise([i], 6)[0], rtol=1e-10, atol=1e-12)
    calls = []
    nothing, taken = minimal_residuals(lambda x: calls.append(1) or x, 0 * b, rtol=1e-8, iterations=5)
    assert nothing.abs().max() == 0
    assert taken.max() == 0
    assert not calls
