from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.measurement.identity import Identity
from sciml.diffusion.measurement.radon import Radon
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.solver.total_variation import TotalVariation, gradient, gradient_adjoint
from sciml.errors import ConfigError

PRIOR = Gaussian(shape=(6, 1))


def test_a_step_is_flattened_from_both_sides() -> None:
    """In one dimension a step of 2 and 4 points with heights 0 and 1 moves by weight / points on either side."""
    y = torch.tensor([[0.0, 0, 1, 1, 1, 1]], dtype=torch.float64)
    solver = TotalVariation(weight=0.2, steps=500)
    x = solver(y, Identity(shape=(6, 1), noise_std=0.1), PRIOR, (1, 6, 1), stream("solver", 0))
    expected = torch.tensor([0.1, 0.1, 0.95, 0.95, 0.95, 0.95], dtype=torch.float64)
    torch.testing.assert_close(x[0, :, 0], expected, rtol=0, atol=1e-4)


def test_no_field_nearby_has_a_smaller_objective() -> None:
    radon = Radon(shape=(8, 8, 1), views=5, detectors=8, noise_std=0.1)
    truth = torch.zeros(1, 8, 8, 1, dtype=torch.float64)
    truth[:, 2:6, 3:7] = 1
    y = radon(truth) + 0.05 * normal((1, 40), stream("noise", 0), truth)

    def objective(x: Tensor) -> float:
        variation = torch.linalg.vector_norm(gradient(x), dim=0).sum()
        return (0.5 * (radon(x) - y).square().sum() + 0.01 * variation).item()

    found = {}
    for ratio in (1.0, 10.0):  # another way to the same place
        solver = TotalVariation(weight=0.01, low=0.0, high=0.9, steps=600, ratio=ratio)
        found[ratio] = solver(y, radon, PRIOR, (1, 8, 8, 1), stream("solver", 0))
        assert found[ratio].min() >= 0
        assert found[ratio].max() <= 0.9
    torch.testing.assert_close(found[1.0], found[10.0], rtol=0, atol=2e-3)
    best = objective(found[10.0])
    for i, size in enumerate((1e-3, 1e-2, 1e-1)):
        for direction in normal((8, 8, 8, 1), stream("direction", i), truth):
            assert objective((found[10.0] + size * direction).clamp(0, 0.9)) > best


def test_the_adjoint_of_the_differences() -> None:
    x = torch.randn(2, 3, 4, 2, dtype=torch.float64)
    q = torch.randn(2, *x.shape, dtype=torch.float64)
    torch.testing.assert_close((gradient(x) * q).sum(), (x * gradient_adjoint(q)).sum())


def test_a_lowest_value_above_the_highest_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"solver\.low"):
        TotalVariation(weight=1.0, low=1.0, high=0.0)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(TotalVariation, weight=0.0, steps=0, ratio=0) == {}
