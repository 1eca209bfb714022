"""The matrix against the closed form of a pixel's shadow; sinograms against those of ellipses."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.ellipses import Ellipses, pixels
from sciml.diffusion.measurement.radon import Radon
from sciml.errors import ConfigError


def angles(radon: Radon) -> Tensor:
    return math.pi / radon.views * torch.arange(radon.views, dtype=torch.float64)


def offsets(radon: Radon) -> Tensor:
    return (torch.arange(radon.detectors, dtype=torch.float64) + 0.5) * radon.spacing - radon.reach


@pytest.mark.parametrize("rays", [1, 3])
def test_lengths_are_those_of_the_shadow_of_a_pixel(rays: int) -> None:
    n = 5
    radon = Radon(shape=(n, n, 1), views=7, detectors=6, noise_std=0.1, reach=1.3, rays=rays)
    found = radon(torch.eye(n * n, dtype=torch.float64).reshape(-1, n, n, 1)).T.reshape(7, 6, n, n)
    centre = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    cos, sin = angles(radon).cos()[:, None, None], angles(radon).sin()[:, None, None]
    a, b = 2 / n * cos.abs(), 2 / n * sin.abs()
    expected = torch.zeros_like(found)
    for ray in range(rays):  # a trapezium: flat where the line cuts opposite sides, then down to the corner
        s = offsets(radon) + radon.spacing * ((ray + 0.5) / rays - 0.5)
        distance = (s[None, :, None, None] - (centre[:, None] * cos + centre * sin)[:, None]).abs()
        slope = ((a + b) / 2)[:, None] - distance
        flat = (2 / n) / torch.maximum(cos.abs(), sin.abs())[:, None]
        expected += torch.minimum(flat, slope.clamp_min(0) * (2 / n) ** 2 / (a * b).clamp_min(1e-12)[:, None]) / rays
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def ellipse_sinogram(ellipse: Ellipses, theta: Tensor, s: Tensor) -> Tensor:
    """Kak and Slaney (1988), chapter 3, eq. 5 and 6, moved and turned: ``(V, D)``."""
    theta = theta[:, None]
    square = (ellipse.a * torch.cos(theta - ellipse.angle)) ** 2 + (ellipse.b * torch.sin(theta - ellipse.angle)) ** 2
    distance = s - ellipse.x * theta.cos() - ellipse.y * theta.sin()
    return 2 * ellipse.value * ellipse.a * ellipse.b * (square - distance**2).clamp_min(0).sqrt() / square


def test_sinograms_of_ellipses_converge() -> None:
    """First order, as befits images that jump."""
    ellipse = Ellipses(*(torch.tensor([v], dtype=torch.float64) for v in (0.15, -0.2, 0.6, 0.3, 0.5, 0.8)))
    errors = []
    for n in (32, 64, 128):
        radon = Radon(shape=(n, n, 1), views=30, detectors=n, noise_std=0.1)
        exact = ellipse_sinogram(ellipse, angles(radon), offsets(radon))
        found = radon(pixels(ellipse, n)[..., None]).reshape(30, n)
        errors.append(((found - exact).norm() / exact.norm()).item())
    assert errors[0] < 0.05
    assert 3 < errors[0] / errors[2] < 6


def test_other_fields_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"\(4, 4, 2\)"):
        Radon(shape=(4, 4, 2), views=3, detectors=4, noise_std=0.1)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Radon, reach=0.0, views=0) == {}
