from __future__ import annotations

import pytest
import torch

from sciml.diffusion.measurement.super_resolution import SuperResolution
from sciml.errors import ConfigError


def test_it_takes_means_over_blocks() -> None:
    measurement = SuperResolution(shape=(6, 9, 2), factor=3, noise_std=0.1)
    x = torch.randn(2, 6, 9, 2, dtype=torch.float64)
    expected = torch.nn.functional.avg_pool2d(x.movedim(-1, 1), 3).movedim(1, -1)
    y = measurement(x)
    torch.testing.assert_close(y, expected.flatten(1))
    torch.testing.assert_close(measurement(measurement.adjoint(y)), y / 9)


def test_blocks_must_fill_the_grid() -> None:
    with pytest.raises(ConfigError, match="factor is 4"):
        SuperResolution(shape=(8, 6, 1), factor=4, noise_std=0.1)
