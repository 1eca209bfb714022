"""Order of the time steps, and a stiff and an oscillating mode by their exact solutions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from sciml.equation.etdrk4 import ETDRK4, _stable


@pytest.mark.parametrize("rate", [-30.0, -3.0, -0.3, 0.0, 2.0j, 50.0j])
def test_a_forced_mode_converges_with_order_four(rate: complex) -> None:
    # û' = L û − û² (û = 1 / ((1/û₀ − 1/L) e^{−Lt} + 1/L), Bernoulli's equation), or 1/û = 1/û₀ + t for L = 0.
    start, end = 0.5, 1.0
    inverse = (1 / start - 1 / rate) * np.exp(-rate * end) + 1 / rate if rate else 1 / start + end
    errors = []
    for n in (40, 80, 160):
        step = ETDRK4(np.array([rate], complex), lambda u: -(u**2), end / n)
        state = np.array([start], complex)
        for _ in range(n):
            state = step(state)
        errors.append(abs(state[0] * inverse - 1))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[0] < 1e-2
    assert orders[-1] == pytest.approx(4, abs=0.25), (errors, orders)


def test_tensors_and_arrays_take_the_same_step() -> None:
    linear = np.array([-3.0, 0.0, -1e-3])
    state = np.array([[1.0, 2.0, 3.0], [0.3, -1.0, 2.0]])
    found = ETDRK4(linear, np.sin, 0.1)(state)
    batch = ETDRK4(torch.from_numpy(linear), torch.sin, 0.1)(torch.from_numpy(state))
    np.testing.assert_allclose(batch.numpy(), found, rtol=1e-14)


def test_the_circle_and_the_formula_agree() -> None:
    # f₁ / h has the Taylor series 1/6 + z/6 + 3 z²/40 + ...; both branches meet at |z| = 1/2.
    z = torch.tensor([0.0, 1e-3, 1e-3j, 0.499999, 0.500001], dtype=torch.complex128)
    f1 = _stable(lambda a: (-4 - a + torch.exp(a) * (4 - 3 * a + a**2)) / a**3, z)
    series = 1 / 6 + z / 6 + 3 / 40 * z**2
    torch.testing.assert_close(f1[:3], series[:3], rtol=0, atol=1e-9)
    assert abs(f1[3] - f1[4]) < 1e-6
    assert abs(f1[0] - 1 / 6) < 1e-15
