from __future__ import annotations

import pytest
import torch

from sciml.equation.spectral import advance, analyse, highest, observe, synthesise, wavenumbers, widen
from sciml.errors import RunError


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("points", [12, 13])
def test_a_wave_has_its_coefficient_and_its_values_on_every_grid(axes: int, points: int) -> None:
    k = (-2, 4, 3)[-axes:]

    def wave(n: int) -> torch.Tensor:
        grids = torch.meshgrid(*[2 * torch.pi / n * torch.arange(n, dtype=torch.float64)] * axes, indexing="ij")
        return torch.cos(sum(c * x for c, x in zip(k, grids, strict=True)) + 0.3)

    hat = analyse(wave(points), 4, axes)
    where = (*(c % 9 for c in k[:-1]), k[-1])
    expected = torch.zeros_like(hat)
    expected[where] = 0.5 * torch.exp(torch.tensor(0.3j, dtype=hat.dtype))
    torch.testing.assert_close(hat, expected, atol=1e-15, rtol=0)
    assert [int(line.flatten()[i]) for line, i in zip(wavenumbers(4, axes), where, strict=True)] == list(k)
    torch.testing.assert_close(synthesise(hat, 15, axes), wave(15))
    torch.testing.assert_close(widen(hat, 7, axes), analyse(wave(15), 7, axes), atol=1e-15, rtol=0)
    torch.testing.assert_close(observe(hat, 4, axes), wave(4))  # four points cannot hold the wave, but have its values


@pytest.mark.parametrize(("points", "degree"), [(16, 2), (15, 2), (16, 3), (17, 3)])
def test_products_do_not_alias_and_one_more_wavenumber_would(points: int, degree: int) -> None:
    generator = torch.Generator().manual_seed(0)

    def error(modes: int) -> float:
        hat = torch.randn(modes + 1, 2, generator=generator, dtype=torch.float64)
        hat = torch.complex(hat[:, 0], torch.where(torch.arange(modes + 1) > 0, hat[:, 1], 0))
        exact = analyse(synthesise(hat, 8 * points, 1) ** degree, modes, 1)
        return float((analyse(synthesise(hat, points, 1) ** degree, modes, 1) - exact).abs().max())

    modes = highest(points, degree)
    assert error(modes) < 1e-12
    assert error(modes + 1) > 1e-2


def test_growth_without_bound_is_an_error() -> None:
    with pytest.raises(RunError, match="smaller step"):
        advance(lambda state: 1e200 * state, torch.ones(3, dtype=torch.complex128), 2)
