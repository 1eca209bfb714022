"""Functions with high and mixed frequencies, their second derivatives, and equations with these as solutions.

An equation on [0, L] or [0, L]² with Dirichlet values whose source is what the solution makes of it.

Source: Fang, Cooley, Long, Li, Kirby and Zhe, "Solving high frequency and multi-scale PDEs with Gaussian processes",
ICLR 2024 (arXiv 2311.04465); ``run_1d.sh``, ``run_2d.sh`` and ``config/`` of the authors' code for the domains.
``multi_scale`` has cos(100x) as those files say; the code itself has sin(100x) there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.equation.base import Equation
from sciml.errors import ConfigError

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Profile:
    """A function of one variable on [0, length].

    Args:
        value: u.
        second: u''.
        length: Length of the interval on which the paper has it.
    """

    value: Function
    second: Function
    length: float


def _wave(k: float, *, cosine: bool = False) -> tuple[Function, Function]:
    f = torch.cos if cosine else torch.sin
    return (lambda x: f(k * x)), (lambda x: -(k**2) * f(k * x))


def _mix(*terms: tuple[float, tuple[Function, Function]], length: float) -> Profile:
    def part(which: int) -> Function:
        return lambda x: sum((c * wave[which](x) for c, wave in terms[1:]), start=terms[0][0] * terms[0][1][which](x))

    return Profile(part(0), part(1), length)


def _growing(k: float) -> tuple[Function, Function]:
    return (
        lambda x: x * torch.sin(k * x),
        lambda x: 2 * k * torch.cos(k * x) - k**2 * x * torch.sin(k * x),
    )


_parabola: tuple[Function, Function] = (lambda x: (x - 0.5).square()), (lambda x: torch.full_like(x, 2.0))

# sin px cos qx = ½ sin (p+q)x + ½ sin (p-q)x
PROFILES = {
    "single": _mix((1.0, _wave(100)), length=2 * math.pi),
    "growing": _mix((1.0, _growing(200)), length=2 * math.pi),
    "modulated": _mix((0.5, _wave(106)), (0.5, _wave(-94)), length=2 * math.pi),
    "multi_scale": _mix((1.0, _wave(1)), (0.1, _wave(20)), (0.05, _wave(100, cosine=True)), length=1.0),
    "parabola": _mix((1.0, _wave(500)), (-2.0, _parabola), length=1.0),
}

# Of one variable each: u(x, y) = Σ_k a_k(x) b_k(y).
_slow = _mix((0.5, _wave(26)), (0.5, _wave(-14)), length=2 * math.pi)
_mixed = _mix((1.0, _wave(1)), (0.1, _wave(20)), (1.0, _wave(100, cosine=True)), length=1.0)
_one = Profile(torch.ones_like, torch.zeros_like, 2 * math.pi)
SURFACES = {
    "single": ((PROFILES["single"], PROFILES["single"]),),
    "sum": ((_slow, _one), (_one, _slow)),
    "multi_scale": ((_mixed, _mixed),),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in PROFILES:
        raise ConfigError(f"equation.solution is '{name}'; it must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


def surface(name: str) -> tuple[tuple[Profile, Profile], ...]:
    """The pairs (a_k, b_k) of the surface of that name.

    Raises:
        ConfigError: There is none.
    """
    if name not in SURFACES:
        raise ConfigError(f"equation.solution is '{name}'; it must be one of {', '.join(SURFACES)}")
    return SURFACES[name]


class MadeUp1d(Equation):
    """An equation on an interval whose solution is a profile.

    Args:
        solution: Name of the solution.

    Raises:
        ConfigError: There is no such solution.
    """

    inputs = ("x",)
    outputs = ("u",)
    tolerance = 1e-8  # rounding of the source, which is up to 1e6

    def __init__(self, *, solution: str = "single") -> None:
        self.u = profile(solution)
        self.lower, self.upper = (0.0,), (self.u.length,)

    def reference(self, x: Tensor) -> Tensor:
        """The solution u at ``x`` (n, 1): (n, 1), float64."""
        return self.u.value(x.double())


class MadeUp2d(Equation):
    """An equation on a square whose solution is a surface.

    Args:
        solution: Name of the solution.

    Raises:
        ConfigError: There is no such solution.
    """

    inputs = ("x", "y")
    outputs = ("u",)
    lower = (0.0, 0.0)
    tolerance = 1e-8  # rounding of the source, which is up to 1e4

    def __init__(self, *, solution: str = "single") -> None:
        self.terms = surface(solution)
        length = self.terms[0][0].length
        self.upper = (length, length)

    def laplacian(self, x: Tensor) -> Tensor:
        """That of the solution at ``x`` (n, 2): (n, 1)."""
        a, b = x[:, :1], x[:, 1:]
        return torch.stack([p.second(a) * q.value(b) + p.value(a) * q.second(b) for p, q in self.terms]).sum(0)

    def reference(self, x: Tensor) -> Tensor:
        """The solution u at ``x`` (n, 2): (n, 1), float64."""
        x = x.double()
        return torch.stack([p.value(x[:, :1]) * q.value(x[:, 1:]) for p, q in self.terms]).sum(0)
