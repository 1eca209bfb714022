r"""Elementary functions with their first four derivatives: (φ(z), n -> [φ'(z), ..., φ^(n)(z)]), n at most 4.

What derivatives share with the value, or with each other, is computed once; nothing is computed for a derivative that
is not asked for. Everything is tensor arithmetic, differentiable itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Elementary = tuple[Tensor, Callable[[int], list[Tensor]]]


def tanh(z: Tensor) -> Elementary:
    """Hyperbolic tangent; its derivatives are polynomials in it."""
    a = torch.tanh(z)

    def derivatives(n: int) -> list[Tensor]:
        d1 = 1 - a * a
        found = [d1]
        if n > 1:
            found.append(-2 * a * d1)
        if n > 2:
            found.append(d1 * (4 - 6 * d1))  # 6a² − 2 = 4 − 6 d1
        if n > 3:
            found.append(found[1] * (4 - 12 * d1))  # φ''' = 4 d1 − 6 d1²
        return found

    return a, derivatives


def sin(z: Tensor) -> Elementary:
    """Sine."""
    a = torch.sin(z)

    def derivatives(n: int) -> list[Tensor]:
        c = torch.cos(z)
        return [c, -a, -c, a][:n]

    return a, derivatives


def cos(z: Tensor) -> Elementary:
    """Cosine."""
    a = torch.cos(z)

    def derivatives(n: int) -> list[Tensor]:
        s = torch.sin(z)
        return [-s, -a, s, a][:n]

    return a, derivatives


def exp(z: Tensor) -> Elementary:
    """Exponential function."""
    a = torch.exp(z)
    return a, lambda n: [a] * n


def log(z: Tensor) -> Elementary:
    """Natural logarithm."""
    r = z.reciprocal()
    return torch.log(z), lambda n: [r, -(r**2), 2 * r**3, -6 * r**4][:n]


def reciprocal(z: Tensor) -> Elementary:
    """1 / z."""
    r = z.reciprocal()
    return r, lambda n: [-(r**2), 2 * r**3, -6 * r**4, 24 * r**5][:n]


def sqrt(z: Tensor) -> Elementary:
    """Square root of what is positive."""
    a = torch.sqrt(z)

    def derivatives(n: int) -> list[Tensor]:
        r, found = z.reciprocal(), [0.5 / a]
        for k in range(1, n):
            found.append((0.5 - k) * r * found[-1])
        return found

    return a, derivatives


def erfc(z: Tensor) -> Elementary:
    """Complementary error function; its derivatives are a Gaussian times polynomials."""

    def derivatives(n: int) -> list[Tensor]:
        d1 = -2 / math.sqrt(math.pi) * torch.exp(-z * z)
        return [d1, -2 * z * d1, (4 * z * z - 2) * d1, (12 - 8 * z * z) * z * d1][:n]

    return torch.erfc(z), derivatives


def power(z: Tensor, exponent: int) -> Elementary:
    """A positive whole power."""

    def derivatives(n: int) -> list[Tensor]:
        found, factor = [], 1.0
        for k in range(1, n + 1):
            factor *= exponent - k + 1
            found.append(factor * z ** max(exponent - k, 0))
        return found

    return z**exponent, derivatives


def sigmoid(z: Tensor) -> Elementary:
    """Logistic function."""
    s = torch.sigmoid(z)
    return s, lambda n: _logistic(s, n)


def silu(z: Tensor) -> Elementary:
    """The argument times its logistic function, also called swish."""
    s = torch.sigmoid(z)

    def derivatives(n: int) -> list[Tensor]:
        lower = [s, *_logistic(s, n)]
        return [(k + 1) * lower[k] + z * lower[k + 1] for k in range(n)]

    return z * s, derivatives


def _logistic(s: Tensor, n: int) -> list[Tensor]:
    d1 = s * (1 - s)
    found = [d1]
    if n > 1:
        found.append(d1 * (1 - 2 * s))
    if n > 2:
        found.append(d1 * (1 - 6 * d1))
    if n > 3:
        found.append(found[1] * (1 - 12 * d1))
    return found
