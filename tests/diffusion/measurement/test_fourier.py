from __future__ import annotations

import cmath
import math

import pytest
import torch
from refusals import accepted

from sciml.diffusion.measurement.fourier import Fourier
from sciml.errors import ConfigError


def test_observations_are_sums_of_waves() -> None:
    fourier = Fourier(shape=(4, 6, 1), pattern="uniform", acceleration=2, centre=0.2, noise_std=0.1)
    x = torch.randn(1, 4, 6, 1, dtype=torch.float64)
    real, imaginary = fourier(x)[0].reshape(2, 4, 3)
    for k in range(4):
        for place, line in enumerate(fourier.lines.tolist()):
            naive = sum(
                x[0, i, j, 0].item() * cmath.exp(-2j * math.pi * (k * i / 4 + line * j / 6))
                for i in range(4)
                for j in range(6)
            ) / math.sqrt(24)
            assert abs(complex(real[k, place], imaginary[k, place]) - naive) < 1e-12


def test_with_all_lines_nothing_is_lost() -> None:
    fourier = Fourier(shape=(5, 4, 2), pattern="random", acceleration=1, centre=0.3, noise_std=0.1)
    x = torch.randn(3, 5, 4, 2, dtype=torch.float64)
    torch.testing.assert_close(fourier.adjoint(fourier(x)), x)


@pytest.mark.parametrize("pattern", ["uniform", "random"])
@pytest.mark.parametrize(("acceleration", "centre", "middle"), [(4, 0.08, 5), (8, 0.04, 3)])
def test_lines_are_as_many_as_the_acceleration_says(
    pattern: str, acceleration: int, centre: float, middle: int
) -> None:
    lines = Fourier(shape=(2, 64, 1), pattern=pattern, acceleration=acceleration, centre=centre, noise_std=0.1).lines
    assert len(lines.unique()) == len(lines) == 64 // acceleration
    wavenumbers = torch.where(lines > 32, lines - 64, lines)
    assert set(range(-(middle // 2), middle // 2 + 1)) <= set(wavenumbers.tolist())
    if pattern == "uniform":
        outer = lines[(lines > middle // 2) & (lines < 64 - middle // 2)]
        assert outer.diff().max() - outer.diff().min() <= 1


def test_the_seed_draws_the_lines() -> None:
    def lines(seed: int) -> list[int]:
        fourier = Fourier(shape=(2, 64, 1), pattern="random", acceleration=4, centre=0.08, noise_std=0.1, seed=seed)
        return fourier.lines.tolist()

    assert lines(0) == lines(0) != lines(1)


def test_a_middle_of_more_lines_than_are_measured_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"measurement\.centre is 0\.5"):
        Fourier(shape=(8, 8, 1), pattern="random", acceleration=4, centre=0.5, noise_std=0.1)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Fourier, pattern="radial", acceleration=0.9, centre=1.1) == {}
