from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from sciml.network.axes import interpolate
from sciml.network.resample import Coarsen, Refine, coarse


def test_sizes_of_the_paper() -> None:
    assert coarse((43, 43), 3) == [15, 15]
    assert coarse((43,), math.sqrt(3)) == [25]
    assert coarse((85, 141), 3) == [29, 48]
    assert coarse((4,), 100) == [2]  # both ends stay


def test_interpolation_keeps_linear_functions_and_ends() -> None:
    x = torch.linspace(0, 1, 9, dtype=torch.float64)
    plane = (2 * x[:, None] - 3 * x[None, :]).expand(1, 1, 9, 9)
    y, z = torch.linspace(0, 1, 4, dtype=torch.float64), torch.linspace(0, 1, 14, dtype=torch.float64)
    torch.testing.assert_close(interpolate(plane, (4, 14))[0, 0], 2 * y[:, None] - 3 * z[None, :])


def test_to_the_coarse_grid_and_back_as_written_out() -> None:
    torch.manual_seed(0)
    down, up = Coarsen(1, 2, 7, 4.0, dropout=0.0).double(), Refine(1, 7, 4.0).double()
    u = torch.randn(3, 17, 2, dtype=torch.float64)

    def conv(layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        (weight,) = layer.parameters()
        return F.conv1d(F.pad(x, (1, 1)), weight)

    def resized(x: torch.Tensor, points: int) -> torch.Tensor:
        return F.interpolate(x, size=points, mode="linear", align_corners=True)

    x = resized(conv(down.first, u.mT).relu(), 9)
    second = conv(down.second, x).relu()
    third = conv(down.third, second).relu()
    fourth = conv(down.fourth, third).relu()
    there = resized(torch.cat([second, third, fourth], dim=1), 5).mT
    torch.testing.assert_close(down(u), there)
    back = resized(F.silu(F.silu(conv(up.layer, resized(there.mT, 9)))), 17).mT
    torch.testing.assert_close(up(there, (17,)), back)
