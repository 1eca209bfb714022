from __future__ import annotations

import math

import pytest
import torch

from sciml.data.periodic_field import periodic_field, periodic_fields
from sciml.data.stream import stream

SETTINGS = {"modes": 6, "alpha": 2.0, "tau": 5.0}


def draw(n: int, points: int, **changes: float) -> torch.Tensor:
    return periodic_field(n, points, **{**SETTINGS, **changes}, generator=torch.Generator().manual_seed(0))


def test_one_seed_gives_the_same_fields_on_every_grid() -> None:
    torch.testing.assert_close(draw(3, 16), draw(3, 64)[:, ::4])


def test_fields_hold_the_declared_modes_only() -> None:
    spectrum = torch.fft.rfft(draw(5, 32)).abs() / 32
    assert spectrum[:, 1:7].amin() > 1e-6
    assert spectrum[:, 0].amax() < 1e-14
    assert spectrum[:, 7:].amax() < 1e-14


def test_every_mode_has_the_declared_variance() -> None:
    spectrum = torch.fft.rfft(draw(20_000, 16), norm="forward")[:, 1:7]
    # a cos + b sin has the coefficient (a - i b) / 2, whose squared modulus has the mean variance / 2
    measured = 2 * spectrum.abs().square().mean(0)
    k = torch.arange(1, 7, dtype=torch.float64)
    expected = 2 * 5.0**3 / (4 * math.pi**2 * k**2 + 25.0) ** 2
    torch.testing.assert_close(measured, expected, rtol=5 / 20_000**0.5, atol=0)


def test_a_grid_too_coarse_for_the_modes_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 12"):
        draw(1, 12)


def test_fields_by_their_own_generators_have_the_declared_variance_on_every_grid() -> None:
    streams = [stream(str(i), 0) for i in range(5000)]
    u = periodic_fields(streams, 16, modes=6, alpha=2.0, tau=5.0, sigma=25.0)
    again = periodic_fields([stream(str(i), 0) for i in range(3)], 64, modes=6, alpha=2.0, tau=5.0, sigma=25.0)
    torch.testing.assert_close(again[:, ::4], u[:3])
    spectrum = torch.fft.rfft(u, norm="forward")
    assert spectrum[:, [0, 7]].abs().max() < 1e-14
    k = torch.arange(1, 7, dtype=torch.float64)
    # The eigenvalue of the covariance is the variance of either coefficient in the orthonormal basis √2 cos, √2 sin.
    eigenvalue = 625 / (4 * math.pi**2 * k**2 + 25) ** 2
    for part in (spectrum[:, 1:7].real, spectrum[:, 1:7].imag):
        torch.testing.assert_close(2 * part.square().mean(0), eigenvalue, rtol=5 * (2 / 5000) ** 0.5, atol=0)
