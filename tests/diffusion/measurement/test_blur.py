from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted

from sciml.diffusion.measurement.blur import Blur
from sciml.errors import ConfigError
from sciml.linalg.spectral_covariance import cosine_basis


def gaussian(width: float) -> torch.Tensor:
    j = torch.arange(-math.ceil(4 * width), math.ceil(4 * width) + 1, dtype=torch.float64)
    weights = torch.exp(-(j**2) / (2 * width**2))
    return weights / weights.sum()


def test_periodic_blur_multiplies_fourier_coefficients() -> None:
    x = torch.randn(2, 9, 12, 1, dtype=torch.float64)
    blur = Blur(shape=(9, 12, 1), kernel="gaussian", width=1.3, boundary="periodic", noise_std=0.1)
    weights, expected = gaussian(1.3), x[..., 0]
    for axis, n in ((1, 9), (2, 12)):
        kernel = torch.zeros(n, dtype=torch.float64)
        kernel.index_add_(0, torch.arange(-6, 7) % n, weights)
        spectrum = torch.fft.fft(kernel).reshape(-1, *[1] * (2 - axis))
        expected = torch.fft.ifft(torch.fft.fft(expected, dim=axis) * spectrum, dim=axis).real
    torch.testing.assert_close(blur(x), expected.flatten(1))


def test_mirrored_blur_multiplies_cosine_coefficients() -> None:
    n, width = 10, 1.7  # the kernel reaches beyond the mirror image of the whole
    blur = Blur(shape=(n, 1), kernel="gaussian", width=width, boundary="reflect", noise_std=0.1)
    weights = gaussian(width)
    j = torch.arange(len(weights), dtype=torch.float64) - len(weights) // 2
    for m, wave in enumerate(cosine_basis(n)):
        gain = (weights * torch.cos(math.pi * m * j / n)).sum()
        torch.testing.assert_close(blur(wave[None, :, None])[0], gain * wave)


def test_with_zeros_beyond_the_ends_a_box_is_a_convolution() -> None:
    x = torch.randn(2, 7, 8, 1, dtype=torch.float64)
    blur = Blur(shape=(7, 8, 1), kernel="box", width=3, boundary="zero", noise_std=0.1)
    expected = torch.nn.functional.avg_pool2d(x[:, None, ..., 0], 3, stride=1, padding=1)
    torch.testing.assert_close(blur(x), expected.flatten(1))


def test_a_box_of_an_even_number_of_points_is_refused() -> None:
    with pytest.raises(ConfigError, match="width is 4"):
        Blur(shape=(8, 1), noise_std=0.1, kernel="box", width=4, boundary="reflect")


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Blur, kernel="disc", width=0.0, boundary="open", noise_std=0) == {}
