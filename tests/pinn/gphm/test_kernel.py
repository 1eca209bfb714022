"""Covariances against automatic differentiation, and against the Fourier transform of the spectrum they stand for."""

from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Generator, Tensor

from sciml.pinn.gphm.kernel import MAX_ORDER, SpectralMixture


def kernel(spectrum: Literal["student_t", "gaussian"]) -> SpectralMixture:
    made = SpectralMixture(spectrum=spectrum, components=4, frequency=3.0)
    generator = Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn(4, generator=generator, dtype=torch.float64)
    return made


@pytest.mark.parametrize("spectrum", ["student_t", "gaussian"])
def test_derivatives_are_those_of_automatic_differentiation(spectrum: Literal["student_t", "gaussian"]) -> None:
    made = kernel(spectrum)
    d = torch.tensor([-1.3, -0.4, -1e-3, 1e-3, 0.2, 0.9], dtype=torch.float64, requires_grad=True)
    expected: Tensor = made(d)[0]
    for order, found in enumerate(made(d, MAX_ORDER)):
        assert (found - expected).abs().max() < 1e-9 * expected.abs().max(), f"order {order}"
        if order < MAX_ORDER:
            (expected,) = torch.autograd.grad(expected.sum(), d, create_graph=True)


@pytest.mark.parametrize("spectrum", ["student_t", "gaussian"])
def test_odd_derivatives_vanish_at_zero_and_even_ones_are_limits(spectrum: Literal["student_t", "gaussian"]) -> None:
    at, near = (kernel(spectrum)(torch.tensor(d, dtype=torch.float64), MAX_ORDER) for d in (0.0, 1e-7))
    for order, (a, b) in enumerate(zip(at, near, strict=True)):
        if order % 2:
            assert a == 0
        else:
            torch.testing.assert_close(a, b, rtol=1e-5, atol=0)


def test_a_bump_of_student_t_has_the_spectrum_of_a_matern_covariance() -> None:
    """S(ν) = ½ Σ± c (1 + (2π(ν ± μ) ℓ)² / 5)⁻³, c = 16 ℓ / (3√5): Rasmussen and Williams (2006), equation (4.15)."""
    made = SpectralMixture(components=1, frequency=0.0)
    made.mu.data[:], made.log_scale.data[:], made.log_weight.data[:] = 1.5, math.log(2.0), math.log(0.7)
    d = torch.arange(-30, 30, 1e-3, dtype=torch.float64)
    length = 0.5
    for nu in (0.0, 0.9, 1.6):
        transform = (made(d)[0].detach() * torch.cos(2 * math.pi * nu * d)).sum() * 1e-3
        bumps = [(1 + (2 * math.pi * (nu + s * 1.5) * length) ** 2 / 5) ** -3 for s in (-1, 1)]
        expected = 0.7 * 0.5 * sum(bumps) * 16 * length / (3 * math.sqrt(5))
        assert float(transform) == pytest.approx(expected, rel=1e-6)


def test_it_starts_as_the_authors_do_and_scatter_is_random() -> None:
    made = SpectralMixture(components=5, frequency=8.0)
    assert made.mu.tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    torch.testing.assert_close(made.log_weight.exp().sum(), torch.tensor(1.0, dtype=torch.float64))
    generators = [Generator().manual_seed(s) for s in (0, 0, 1)]
    a, b, c = (SpectralMixture(components=50, frequency=98.0, scatter=0.25, generator=g).mu for g in generators)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a[0] == 0, "slow parts of a solution keep their component"
    away = a - torch.arange(0, 100, 2)
    assert 0.35 < float(away.detach().std()) < 0.65, "a quarter of their distance 2"
