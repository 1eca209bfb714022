r"""Images of ellipses on the square [-1, 1]², averaged over their pixels.

An ellipse with centre c, half axes a and b, the first turned by φ from the x axis, is
:math:`q_{xx} u^2 + 2 q_{xy} u v + q_{yy} v^2 \le 1` for :math:`(u, v) = x - c`. A line of constant y cuts it in
one interval, known in closed form, and so is the part of each pixel's width that the interval covers. The average of
that over ``_LINES`` lines of a pixel is what the pixel holds.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_LINES = 4


class Ellipses(NamedTuple):
    """Tensors of one shape: centre, half axes, angle of the first of them in radians, value inside."""

    x: Tensor
    y: Tensor
    a: Tensor
    b: Tensor
    angle: Tensor
    value: Tensor


def pixels(ellipses: Ellipses, points: int) -> Tensor:
    """One ellipse an image, zero outside.

    Args:
        ellipses: Each tensor ``(n,)``.
        points: Pixels a side; the first axis of an image is x.

    Returns:
        Averages ``(n, points, points)``.
    """
    width = 2 / points
    like = ellipses.x
    cos, sin = ellipses.angle.cos(), ellipses.angle.sin()
    weight_a, weight_b = ellipses.a**-2, ellipses.b**-2
    q_xx = (weight_a * cos**2 + weight_b * sin**2)[:, None]
    q_xy = ((weight_a - weight_b) * cos * sin)[:, None]
    q_yy = (weight_a * sin**2 + weight_b * cos**2)[:, None]
    y = torch.arange(points * _LINES, dtype=like.dtype, device=like.device) + 0.5
    v = y * (width / _LINES) - 1 - ellipses.y[:, None]
    root = ((q_xy * v) ** 2 - q_xx * (q_yy * v**2 - 1)).clamp_min(0).sqrt() / q_xx  # 0 where the line misses
    middle = ellipses.x[:, None] - q_xy / q_xx * v
    edge = (torch.arange(points + 1, dtype=like.dtype, device=like.device) * width - 1)[:, None]
    low, high = (middle - root)[:, None], (middle + root)[:, None]
    before = edge.clamp(low, high)  # how far the interval reaches before each edge
    covered = before.diff(dim=1) / width
    return covered.unflatten(2, (points, _LINES)).mean(3) * ellipses.value[:, None, None]
