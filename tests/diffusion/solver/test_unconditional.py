from __future__ import annotations

import torch

from sciml.data.stream import stream
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.sampler.euler import Euler
from sciml.diffusion.solver.unconditional import Unconditional


def test_it_is_its_sampler_whatever_was_observed() -> None:
    prior, sampler = Gaussian(shape=(4, 1)), Euler(levels=Karras(steps=3))
    points = Points(shape=(4, 1), sensors=2, noise_std=0.1)
    y = torch.randn(5, 2, dtype=torch.float64)
    found = Unconditional(sampler=sampler)(y, points, prior, (5, 4, 1), stream("a", 0))
    assert torch.equal(found, sampler(prior, (5, 4, 1), stream("a", 0)))
    assert points.calls == 0
