from __future__ import annotations

import math

import torch

from sciml.data.ellipses import Ellipses, pixels

TILTED = Ellipses(*(torch.tensor([v], dtype=torch.float64) for v in (0.1, -0.2, 0.6, 0.25, 0.7, 2.0)))


def test_pixels_hold_the_share_of_their_area_that_is_inside() -> None:
    n, fine = 16, 40
    centre = (torch.arange(n * fine, dtype=torch.float64) + 0.5) * 2 / (n * fine) - 1
    x, y = centre[:, None] - TILTED.x, centre - TILTED.y
    along = x * math.cos(0.7) + y * math.sin(0.7)
    across = y * math.cos(0.7) - x * math.sin(0.7)
    inside = ((along / 0.6) ** 2 + (across / 0.25) ** 2 <= 1).double()
    shares = inside.unflatten(1, (n, fine)).mean(2).unflatten(0, (n, fine)).mean(1)
    error = (pixels(TILTED, n)[0] / 2 - shares).abs()
    assert error.max() < 0.1  # at the tips, between two of the four lines of a pixel
    assert error.mean() < 0.001


def test_their_sum_is_the_area() -> None:
    area = pixels(TILTED, 64).sum() * (2 / 64) ** 2
    assert abs(area / (2 * math.pi * 0.6 * 0.25) - 1) < 1e-3
