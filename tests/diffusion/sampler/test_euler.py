from __future__ import annotations

import pytest
import torch

from sciml.data.stream import normal, stream
from sciml.diffusion.levels import Karras
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.sampler.euler import Euler


def test_noise_levels_of_equation_5() -> None:
    levels = Karras(steps=3, sigma_min=1.0, sigma_max=128.0).values()
    # roots 2 and 1: the middle one is 1.5 ** 7
    assert levels == pytest.approx([128.0, 1.5**7, 1.0, 0.0])


def test_it_equals_the_naive_transcription_for_one_mode() -> None:
    prior = Gaussian(shape=(1, 1), mean=0.3, std=2.0)
    found = Euler(levels=Karras(steps=5))(prior, (3, 1, 1), stream("sampler", 0))
    levels = Karras(steps=5, sigma_min=0.002, sigma_max=80.0).values()
    x = 80.0 * normal((3, 1, 1), stream("sampler", 0), torch.empty(0, dtype=torch.float64))
    for i in range(5):
        denoised = 0.3 + 4 / (4 + levels[i] ** 2) * (x - 0.3)
        d = (x - denoised) / levels[i]
        x = x + (levels[i + 1] - levels[i]) * d
    torch.testing.assert_close(found, x)


def test_one_evaluation_a_step() -> None:
    prior = Gaussian(shape=(4, 1))
    Euler(levels=Karras(steps=7))(prior, (2, 4, 1), stream("sampler", 0))
    assert prior.evaluations == 7
