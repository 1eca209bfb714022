from __future__ import annotations

import math

import pytest
import torch

from sciml.linalg.sine_transform import SineTransform, eigenvalues

CPU = torch.device("cpu")


@pytest.mark.parametrize("n", [4, 5, 140, 141])  # by a matrix, and by Fourier
def test_sines_are_found_and_the_transform_is_its_own_inverse(n: int) -> None:
    transform = SineTransform(n, dtype=torch.float64, device=CPU)
    j = torch.arange(1, n + 1, dtype=torch.float64)
    wave = torch.outer(torch.sin(math.pi * 3 * j / (n + 1)), torch.sin(math.pi * 2 * j / (n + 1)))
    found = transform(wave)
    expected = torch.zeros(n, n, dtype=torch.float64)
    expected[2, 1] = (n + 1) / 2
    torch.testing.assert_close(found, expected, atol=1e-11, rtol=0)
    x = torch.randn(2, n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(transform(transform(x)), x)
    padded = torch.nn.functional.pad(wave, (1, 1, 1, 1))
    second = (n + 1) ** 2 * (
        4 * padded[1:-1, 1:-1] - padded[2:, 1:-1] - padded[:-2, 1:-1] - padded[1:-1, 2:] - padded[1:-1, :-2]
    )
    torch.testing.assert_close(second, eigenvalues(n, dtype=torch.float64, device=CPU)[2, 1] * wave, atol=1e-8, rtol=0)
