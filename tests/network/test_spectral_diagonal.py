from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.network.spectral_diagonal import SpectralDiagonal


@pytest.mark.parametrize("points", [12, 13])
def test_it_equals_a_circular_convolution(points: int) -> None:
    net = SpectralDiagonal(2, 3, modes=points // 2 + 1).double()
    kernel = torch.randn(points, 2, 3, dtype=torch.float64)
    spectrum = torch.fft.rfft(kernel, dim=0)
    net.weight.data = torch.view_as_real(spectrum).contiguous()
    u = torch.randn(4, points, 2, dtype=torch.float64)
    naive = torch.zeros(4, points, 3, dtype=torch.float64)
    for x in range(points):
        for s in range(points):
            naive[:, x] += u[:, s] @ kernel[(x - s) % points]
    torch.testing.assert_close(net(u), naive)


def test_modes_beyond_the_last_are_cut() -> None:
    net = SpectralDiagonal(1, 1, modes=3).double()
    net.weight.data = torch.tensor([[[[1.0, 0.0]]]] * 3, dtype=torch.float64)
    x = torch.arange(16, dtype=torch.float64) * 2 * torch.pi / 16
    low, high = (0.5 + torch.cos(2 * x))[None, :, None], torch.cos(3 * x)[None, :, None]
    torch.testing.assert_close(net(low + high), low)


def test_a_grid_with_fewer_modes_is_no_error() -> None:
    assert SpectralDiagonal(1, 1, modes=16)(torch.randn(1, 8, 1)).shape == (1, 8, 1)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(SpectralDiagonal, modes=0) == {}
