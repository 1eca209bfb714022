"""Covariances with a grid from products of exponentials, against the covariance itself."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Generator

from sciml.pinn.gphm.between import between
from sciml.pinn.gphm.kernel import MAX_ORDER, SpectralMixture


@pytest.mark.parametrize("spectrum", ["student_t", "gaussian"])
def test_it_is_the_covariance_at_every_distance(
    spectrum: Literal["student_t", "gaussian"], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SpectralMixture(spectrum=spectrum, components=4, frequency=6.0)
    generator = Generator().manual_seed(0)
    for parameter in kernel.parameters():
        parameter.data += 0.5 * torch.randn(4, generator=generator, dtype=torch.float64)
    grid = torch.linspace(-1, 2, 7, dtype=torch.float64)
    # Between the points, at them, and outside: the last distances are of one sign.
    x = torch.cat([3 * torch.rand(20, generator=generator, dtype=torch.float64) - 1, grid, grid[:1] - 0.3, grid + 2.9])
    monkeypatch.setattr("sciml.pinn.gphm.between.POINTS", 16)
    expected = kernel(x.unsqueeze(1) - grid, MAX_ORDER)
    for order, (found, wanted) in enumerate(zip(between(kernel, x, grid, MAX_ORDER), expected, strict=True)):
        assert found.shape == (35, 7)
        assert (found - wanted).abs().max() < 1e-13 * wanted.abs().max(), f"order {order}"
        assert not found.requires_grad
