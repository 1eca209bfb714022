from __future__ import annotations

import numpy as np
import pytest
from refusals import accepted

from sciml.simulation.heat import Heat

LAW = {"modes": 4, "alpha": 1.0, "tau": 5.0}


def heat(points: int = 12, nu: float = 0.02, dt: float = 0.1, frames: int = 3) -> Heat:
    return Heat(points=points, nu=nu, dt=dt, frames=frames, **LAW)


def test_every_mode_decays_at_its_rate() -> None:
    spectrum = np.fft.rfft(heat().samples(0, 2, 0)["tensor"].astype(float))[..., 1:5]
    rate = 0.02 * (2 * np.pi * np.arange(1, 5)) ** 2
    for k in (1, 2):
        expected = np.exp(-0.1 * k * rate) * np.ones((2, 1))
        np.testing.assert_allclose(spectrum[:, k] / spectrum[:, 0], expected, atol=1e-5)


def test_initial_values_have_their_law() -> None:
    spectrum = np.fft.rfft(heat().samples(0, 4000, 0)["tensor"][:, 0].astype(float)) / 12
    k = 2 * np.pi * np.arange(1, 5)
    eigenvalues = 5.0 * (k**2 + 25.0) ** -1.0  # tau^(2 alpha - 1) (4 pi^2 k^2 + tau^2)^-alpha
    np.testing.assert_allclose((np.abs(spectrum[:, 1:5]) ** 2).mean(0), eigenvalues, rtol=5 / np.sqrt(4000))
    assert np.abs(spectrum[:, 5:]).max() < 1e-6


def test_a_finer_grid_has_the_same_fields() -> None:
    coarse, fine = heat(12).samples(0, 2, 0)["tensor"], heat(24).samples(0, 2, 0)["tensor"]
    np.testing.assert_allclose(fine[..., ::2], coarse, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"points": 8}, "points is 8; it must be more than 2"), ({"nu": -1.0}, "nu must not")],
)
def test_what_cannot_be_is_refused(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        heat(**changed)  # type: ignore[arg-type]


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Heat, modes=0, frames=1, dt=0) == {}
