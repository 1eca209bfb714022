from __future__ import annotations

import math

import torch

from sciml.data.periodic_field2d import periodic_fields2d
from sciml.data.stream import stream
from sciml.equation.spectral import analyse, synthesise


def test_fields_are_real_and_every_wave_has_the_declared_variance() -> None:
    streams = [stream(str(i), 0) for i in range(4000)]
    hat = periodic_fields2d(streams, modes=3, alpha=2.5, tau=7.0, sigma=26.0)
    torch.testing.assert_close(analyse(synthesise(hat, 8, 2), 3, 2), hat)  # of a real field
    k = torch.tensor([0.0, 1, 2, 3, -3, -2, -1], dtype=torch.float64)
    expected = 26.0**2 * (4 * math.pi**2 * (k.unsqueeze(1) ** 2 + k[:4] ** 2) + 49) ** -2.5
    expected[0, 0] = 0
    torch.testing.assert_close(hat.abs().square().mean(0), expected, rtol=5 / 4000**0.5, atol=0)
    inner = hat[:, 1:, 1:]  # real and imaginary part are independent and alike
    torch.testing.assert_close(inner.real.square().mean(0), expected[1:, 1:] / 2, rtol=5 * (2 / 4000) ** 0.5, atol=0)
