r"""Explicit integrators of :math:`u_t = f(u)`, one step each.

.. math::
    \text{Euler:}\quad & u + \Delta t\,k_1 \\
    \text{Adams-Bashforth:}\quad & u + \Delta t\,(\tfrac32 k_1 - \tfrac12 k_0), \qquad
        k_0 \text{ of the step before; Euler where there is none} \\
    \text{Heun:}\quad & u + \tfrac{\Delta t}{2}\,(k_1 + f(u + \Delta t\,k_1)) \\
    \text{Runge-Kutta:}\quad & u + \tfrac{\Delta t}{6}\,(k_1 + 2 k_2 + 2 k_3 + k_4), \qquad
        k_2 = f(u + \tfrac{\Delta t}{2} k_1),\ k_3 = f(u + \tfrac{\Delta t}{2} k_2),\ k_4 = f(u + \Delta t\,k_3)

with :math:`k_1 = f(u)`, as Zhou and Barati Farimani (2025), *Predicting Change, Not States*, use them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

Rate = Callable[[Tensor], Tensor]


def euler(f: Rate, u: Tensor, dt: float, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Order 1."""
    k = f(u)
    return u + dt * k, k


def adams_bashforth(f: Rate, u: Tensor, dt: float, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Order 2, from the rate of the step before; Euler where there is none."""
    k = f(u)
    return u + dt * (k if before is None else 1.5 * k - 0.5 * before), k


def heun(f: Rate, u: Tensor, dt: float, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Order 2, two evaluations."""
    k = f(u)
    return u + dt / 2 * (k + f(u + dt * k)), k


def runge_kutta(f: Rate, u: Tensor, dt: float, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """Order 4, four evaluations."""
    k1 = f(u)
    k2 = f(u + dt / 2 * k1)
    k3 = f(u + dt / 2 * k2)
    k4 = f(u + dt * k3)
    return u + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4), k1


class Integrator(NamedTuple):
    """One step, with what it costs and how exact it is.

    ``step(f, u, dt, before)`` gives the state after ``dt`` and :math:`f(u)`, which is ``before`` of the next step.
    """

    step: Callable[[Rate, Tensor, float, Tensor | None], tuple[Tensor, Tensor]]
    order: int
    evaluations: int


INTEGRATORS = {
    "euler": Integrator(euler, 1, 1),
    "ab2": Integrator(adams_bashforth, 2, 1),
    "heun": Integrator(heun, 2, 2),
    "rk4": Integrator(runge_kutta, 4, 4),
}
