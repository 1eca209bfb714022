from __future__ import annotations

import numpy as np
import pytest
from refusals import accepted

from sciml.simulation.advection import Advection


def advection(**changed: float) -> Advection:
    settings = {"points": 40, "length": 2.0, "beta": 0.5, "waves": 3, "k_max": 4, "dt": 0.1, "frames": 5}
    return Advection(**(settings | changed))  # type: ignore[arg-type]


def test_states_are_the_initial_values_shifted() -> None:
    # beta * dt is one grid length: the shift is exact on the grid.
    u = advection().samples(0, 4, 0)["tensor"]
    for k in range(5):
        np.testing.assert_allclose(u[:, k], np.roll(u[:, 0], k, axis=-1), atol=2e-6)
    assert np.abs(u[:, 1] - u[:, 0]).max() > 0.1


def test_the_initial_values_have_their_law() -> None:
    u = advection(waves=1).samples(0, 600, 0)["tensor"][:, 0].astype(float)
    spectrum = np.fft.rfft(u) / 20  # amplitude times exp(i phase) in one of the modes
    k = np.abs(spectrum).argmax(axis=-1)
    amplitude = np.abs(spectrum).max(axis=-1)
    phase = np.angle(spectrum[np.arange(600), k])
    others = np.abs(spectrum).sum(axis=-1) - amplitude
    assert others.max() < 1e-5
    assert set(k) == {1, 2, 3, 4}
    assert np.abs(np.bincount(k)[1:] - 150).max() < 5 * np.sqrt(600 * 3 / 16)
    # Uniform on [0, 1] and on a circle, to five standard errors.
    assert abs(amplitude.mean() - 1 / 2) < 5 / np.sqrt(12 * 600)
    assert amplitude.max() <= 1
    assert abs(np.exp(1j * phase).mean()) < 5 / np.sqrt(600)


def test_a_field_of_several_waves_is_their_sum() -> None:
    energy = (advection(waves=3).samples(0, 800, 0)["tensor"][:, 0].astype(float) ** 2).mean()
    assert energy == pytest.approx(3 / 6, rel=0.1)  # each wave has E[A²] / 2 = 1 / 6


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="points is 8; it must be more than 2"):
        advection(points=8)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Advection, waves=0, dt=0.0, length=-1.0, frames=1) == {}
