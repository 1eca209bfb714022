from __future__ import annotations

from typing import Any

import pytest
import torch
from modules import metrics
from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.module import Inverse
from sciml.diffusion.prior.gaussian import Gaussian

SHAPE = (6, 1)


class Steep(Solver):
    """A gradient step on the misfit; remembers the rows of each call, and whether gradients were on."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, bool]] = []

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        self.calls.append((len(y), torch.is_grad_enabled()))
        with torch.enable_grad():
            x = prior.sample(shape[0], generator).requires_grad_()
            (slope,) = torch.autograd.grad((y - measurement(x)).square().sum(), x)
        return x - 0.1 * slope


@pytest.mark.parametrize(("batch_size", "rows"), [(1, [2, 2, 2]), (5, [4, 2]), (100, [6])])
def test_solvers_may_take_gradients_in_a_test_and_see_whole_observations(batch_size: int, rows: list[int]) -> None:
    measurement, solver = Points(shape=SHAPE, sensors=2, noise_std=0.1), Steep()
    given: dict[str, Any] = {"problems": 3, "samples": 2, "batch_size": batch_size}
    metrics(Inverse(shape=SHAPE, prior=Gaussian(shape=SHAPE), measurement=measurement, solver=solver, **given))
    assert solver.calls == [(n, False) for n in rows]
