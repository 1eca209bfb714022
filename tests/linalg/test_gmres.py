from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.linalg.gmres import gmres


def test_solves_an_indefinite_system_in_as_many_steps_as_eigenvalues() -> None:
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(30, 30, generator=generator, dtype=torch.float64)
    values = torch.tensor([-2.0, 1.0, 5.0], dtype=torch.float64).repeat(10)
    matrix = basis @ torch.diag(values) @ torch.linalg.inv(basis)
    scale = torch.linspace(1, 100, 30, dtype=torch.float64)
    b = torch.randn(5, 6, generator=generator, dtype=torch.float64)

    def apply(x: torch.Tensor) -> torch.Tensor:
        return (matrix @ (scale * x.flatten())).reshape(5, 6)

    def solve(iterations: int) -> torch.Tensor:
        return gmres(apply, lambda r: r / scale.reshape(5, 6), b, rtol=1e-10, iterations=iterations)

    torch.testing.assert_close(apply(solve(3)), b, rtol=1e-8, atol=1e-8)
    with pytest.raises(RunError, match="after 2 iterations"):
        solve(2)
    assert gmres(apply, lambda r: r, 0 * b, rtol=1e-10, iterations=2).abs().max() == 0
