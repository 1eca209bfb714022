from __future__ import annotations

import math

import torch

from sciml.data.sines import few_sines, pdebench_sines
from sciml.data.stream import stream


def streams(n: int) -> list[torch.Generator]:
    return [stream(f"sines/{i}", 0) for i in range(n)]


def test_few_sines_have_the_declared_waves_and_variance() -> None:
    u = few_sines(streams(3000), 16)
    power = 2 * torch.fft.rfft(u, norm="forward").abs().square()
    assert power[:, [0, 4, 5, 6, 7]].max() < 1e-25
    # Ten waves, each at one of three wavenumbers, each with the mean square A²/2 = 1/24.
    torch.testing.assert_close(power[:, 1:4].mean(0), torch.full((3,), 10 / 3 / 24, dtype=u.dtype), rtol=0.1, atol=0)
    torch.testing.assert_close(u, few_sines(streams(3000), 64)[:, ::4])


def test_pdebench_sines_are_what_their_recipe_says() -> None:
    u = pdebench_sines(streams(3000), 64, window=0.0)
    power = torch.fft.rfft(u, norm="forward").abs()
    smooth = power[(power[:, 1:] > 1e-9).sum(1) <= 2]  # a modulus with kinks has every wave
    assert 0.93 < len(smooth) / len(u) < 0.97  # one in ten, of which some had no zero
    alone = (smooth > 1e-9)[:, 1:].sum(1) == 1
    assert abs(float(alone.double().mean()) - 1 / 8) < 0.03  # a wavenumber drawn twice
    doubled = smooth[alone][:, 1:].argmax(1) + 1
    assert sorted(doubled.unique().tolist()) == [2, 4, 6, 8, 10, 12, 14, 16]
    # Without the modulus the sign is even; six wavenumbers not drawn leave a constant with the mean square 6 / (3 · 2).
    assert abs(float(u.mean())) < 0.1
    pairs = smooth[~alone]
    assert math.isclose(float(pairs[:, 0].square().mean()), 1.0, rel_tol=0.15)


def test_windows_vanish_at_the_ends() -> None:
    windowed = pdebench_sines(streams(50), 64, window=1.0)
    free = pdebench_sines(streams(50), 64, window=0.0)
    assert windowed[:, 0].abs().max() < 1e-7
    torch.testing.assert_close(windowed[:, 32], free[:, 32], rtol=1e-3, atol=0)
