from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted

from sciml.data.ellipses import Ellipses, pixels
from sciml.data.stream import stream
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.measurement.radon import Radon
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.solver.filtered_backprojection import FilteredBackprojection
from sciml.errors import ConfigError, RunError

PRIOR = Gaussian(shape=(48, 48, 1))


def test_many_views_give_the_image_back() -> None:
    """Sinogram in closed form: 2 sqrt(r² - s²) for a disc of radius r in the middle, from any side."""
    n, radius = 48, 0.7
    radon = Radon(shape=(n, n, 1), views=90, detectors=n, noise_std=0.1)
    s = (torch.arange(n, dtype=torch.float64) + 0.5) * radon.spacing - 1
    y = (2 * (radius**2 - s**2).clamp_min(0).sqrt()).repeat(90)[None]
    x = FilteredBackprojection()(y, radon, PRIOR, (1, n, n, 1), stream("solver", 0))[0, ..., 0]
    disc = pixels(Ellipses(*(torch.tensor([v], dtype=torch.float64) for v in (0, 0, radius, radius, 0, 1))), n)[0]
    centre = (torch.arange(n, dtype=torch.float64) + 0.5) * 2 / n - 1
    inside = (centre[:, None] ** 2 + centre**2).sqrt() < radius - 0.1
    assert abs(x[inside].mean() - 1) < 0.005
    assert (x - disc)[inside].abs().max() < 0.05
    distance = (centre[:, None] ** 2 + centre**2).sqrt()
    assert x[(distance > radius + 0.1) & (distance < 0.95)].abs().mean() < 0.02


def test_the_filter_is_the_convolution_with_the_ramp() -> None:
    views, spacing = torch.randn(2, 3, 7, dtype=torch.float64), 0.3
    found = FilteredBackprojection()._filtered(views, spacing)
    ramp = [1 / (4 * spacing**2)] + [-1 / (math.pi * j * spacing) ** 2 if j % 2 else 0.0 for j in range(1, 7)]
    naive = torch.stack([sum(spacing * ramp[abs(j - i)] * views[..., i] for i in range(7)) for j in range(7)], -1)
    torch.testing.assert_close(found, naive)


def test_a_window_damps_high_frequencies_only() -> None:
    smooth, rough = torch.ones(1, 64, dtype=torch.float64), (-1.0) ** torch.arange(64, dtype=torch.float64)[None]
    plain, hann = FilteredBackprojection(), FilteredBackprojection(window="hann")
    middle = slice(24, 40)
    kept = hann._filtered(smooth, 1.0)[:, middle] / plain._filtered(smooth, 1.0)[:, middle]
    assert (kept - 1).abs().max() < 0.05
    assert hann._filtered(rough, 1.0)[:, middle].abs().max() < 0.02 * plain._filtered(rough, 1.0)[:, middle].abs().max()


def test_what_it_cannot_do_is_refused() -> None:
    points = Points(shape=(6, 1), sensors=3, noise_std=0.1)
    with pytest.raises(RunError, match="measurement radon"):
        FilteredBackprojection()(torch.zeros(1, 3), points, PRIOR, (1, 6, 1), stream("solver", 0))
    with pytest.raises(ConfigError, match=r"solver\.window"):
        FilteredBackprojection(window="boxcar")


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(FilteredBackprojection, cutoff=1.1) == {}
