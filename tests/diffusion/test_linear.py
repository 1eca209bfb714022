from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement, Measurement
from sciml.diffusion.linear import LeastSquares, linear
from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients


class Matrix(LinearMeasurement):
    def __init__(self, a: torch.Tensor, noise_std: float = 0.1) -> None:
        super().__init__(noise_std=noise_std)
        self.a = a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) @ self.a.T

    def transpose(self, y: torch.Tensor) -> torch.Tensor:
        return (y @ self.a)[..., None]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream("linear", len(shape)))


def test_the_minimiser_is_that_of_the_normal_equations() -> None:
    a, x, y = random(3, 5), random(2, 5, 1), random(2, 3)
    found = LeastSquares(Matrix(a), y).toward(x, y, 0.7)
    expected = torch.linalg.solve(a.T @ a + 0.7 * torch.eye(5), (y @ a + 0.7 * x.flatten(1)).T).T
    torch.testing.assert_close(found.flatten(1), expected)


def test_without_damping_it_is_the_nearest_field_that_agrees() -> None:
    a, x = random(4, 5), random(2, 5, 1)
    a[3] = a[0] + a[1]  # a dependent observation: the pseudo-inverse leaves it alone
    y = random(2, 5) @ a.T
    found = LeastSquares(Matrix(a), y).toward(x, y, 0.0).flatten(1)
    torch.testing.assert_close(found @ a.T, y)
    torch.testing.assert_close(found, x.flatten(1) + (y - x.flatten(1) @ a.T) @ torch.linalg.pinv(a).T)


def test_what_is_not_linear_is_refused() -> None:
    class Squares(Measurement):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).square()

    with pytest.raises(RunError, match="solver dds needs a linear measurement, not Squares"):
        linear(Squares(noise_std=1.0), "solver dds")


def conjugate_gradient(
    apply: Any, b: Tensor, x: Tensor | None = None, *, iterations: int, tolerance: float = 0.0
) -> Tensor:
    """As the solvers call it: so many steps and no more."""
    limits = {"rtol": tolerance, "iterations": iterations, "must_converge": False}
    return conjugate_gradients(apply, torch.clone, b, x=x, **limits)[0]


def test_conjugate_gradients_end_after_as_many_steps_as_unknowns_and_entries_do_not_mix() -> None:
    a = random(4, 6, 6)
    systems, b = a @ a.mT + 0.1 * torch.eye(6), random(4, 6)
    apply = lambda x: (systems @ x[..., None])[..., 0]  # noqa: E731
    exact = torch.linalg.solve(systems, b)
    torch.testing.assert_close(conjugate_gradient(apply, b, iterations=30, tolerance=1e-12), exact)
    partial = conjugate_gradient(apply, b, iterations=3)
    for i in range(4):
        alone = conjugate_gradient(lambda x, i=i: x @ systems[i], b[[i]], iterations=3)
        torch.testing.assert_close(alone, partial[[i]])
        krylov = torch.stack([torch.linalg.matrix_power(systems[i], k) @ b[i] for k in range(3)], dim=1)
        # Of all combinations of the Krylov vectors it is the one with the smallest energy error.
        gram, right = krylov.T @ systems[i] @ krylov, krylov.T @ b[i]
        torch.testing.assert_close(partial[i], krylov @ torch.linalg.solve(gram, right), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(conjugate_gradient(apply, b, exact, iterations=2), exact)
