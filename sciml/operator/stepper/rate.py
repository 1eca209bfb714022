r"""The network gives the rate of change of a state, and an integrator the next state.

.. math:: \min_\theta \, L\big(f_\theta(u(t)),\, \dot u(t)\big), \qquad
    u(t + \Delta t) = u(t) + \int_t^{t + \Delta t} f_\theta(u)\,dt'

Zhou and Barati Farimani (2025), *Predicting Change, Not States: An Alternate Framework for Neural PDE Surrogates*,
Computer Methods in Applied Mechanics and Engineering (arXiv 2412.13074), sections 2 and 3. The target is a finite
difference in time of the data; of order 4 it is Richardson's extrapolation of two central ones,

.. math:: \dot u_j \approx \tfrac43 \frac{u_{j+1} - u_{j-1}}{2 \Delta t}
    - \tfrac13 \frac{u_{j+2} - u_{j-2}}{4 \Delta t},

and near an end the one-sided difference of the same order. Weights for any order come from the Taylor expansions; of
order 1 it is the forward difference, which Euler's step undoes exactly: then the network gives the change to the next
state. A step may be cut into ``substeps``: the network is bound to no time step.

L compares rates, as the authors' code does, or the states one step of Euler's later,

.. math:: L\big(u + \Delta t\, f_\theta(u),\; u + \Delta t\, \dot u\big) ,

whose difference is that of the rates times :math:`\Delta t`. For the mean square error that is a constant factor. A
relative error is one of a rate in the first case, and a rate almost vanishes where a trajectory lingers near a steady
state: on the Kuramoto-Sivashinsky equation some are seventy times smaller than their mean, and the few windows that
have them outweigh all others.

Deviations: the choice of what is compared; the second and the last but one state of a trajectory have differences that
reach one state beyond them, where the authors' code takes one-sided ones; rates are normalised to mean 0 and standard
deviation 1 a channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.normalizer import Normalizer
from sciml.errors import ConfigError
from sciml.operator.base import Dataset, FieldMap, Loss, Rollout, Split
from sciml.operator.rollout.teacher_forced import TeacherForced
from sciml.operator.stepper.base import CHUNK, NetworkFactory, Stepper
from sciml.operator.stepper.integrator import INTEGRATORS
from sciml.ranges import Count

FRAMES = ("centre", "all")
COMPARED = ("rates", "states")


@final
class Rate(Stepper):
    """``integrate(decode(network(encode(u))))``; an input is one state.

    Args:
        network: Called with the numbers of channels.
        dataset: Its ``dt`` is the time between two states.
        normalizer: Of states, and of rates.
        positions: Append coordinates to what the network sees.
        order: Of the differences in time; a window of training needs ``order`` states after its first.
        frames: Whose rates training learns: ``centre``, of the middle state of a window, the earlier of two; ``all``,
            of every state, those at its ends from one-sided differences: for windows that are whole trajectories.
        compare: What the loss sees: ``rates``, or ``states`` that Euler's step makes of them.
        integrator: ``euler``, ``ab2``, ``heun`` or ``rk4``, see :mod:`sciml.operator.stepper.integrator`.
        substeps: Steps of the integrator from one state to the next.

    Attributes:
        evaluations: Of the network for one state.

    Raises:
        ConfigError: Unknown integrator, frames or comparison, a dataset without a time step, or one whose inputs are
            not single states.
    """

    def __init__(
        self,
        network: NetworkFactory,
        dataset: Dataset,
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        *,
        positions: bool = False,
        order: Count = 4,
        frames: str = "centre",
        compare: str = "rates",
        integrator: str = "rk4",
        substeps: Count = 1,
    ) -> None:
        super().__init__(network, dataset, normalizer, positions=positions)
        chosen = (
            ("integrator", integrator, INTEGRATORS),
            ("frames", frames, FRAMES),
            ("compare", compare, COMPARED),
        )
        for name, choice, known in chosen:
            if choice not in known:
                raise ConfigError(f"operator.stepper.{name}: unknown '{choice}'; one of {', '.join(known)}")
        if dataset.dt is None:
            raise ConfigError("operator.stepper rate needs a dataset that says how much time is between two states")
        if dataset.in_channels != dataset.out_channels:
            raise ConfigError(
                f"operator.stepper rate needs inputs of one state, {dataset.out_channels} channels, not"
                f" {dataset.in_channels}; set operator.dataset.history=1"
            )
        self.dt, self.order, self.frames, self.compare = dataset.dt, order, frames, compare
        self.integrator, self.substeps = INTEGRATORS[integrator], substeps
        self.evaluations = self.integrator.evaluations * substeps

    def fit(self, train: Split) -> None:
        size = max(1, CHUNK // max(1, math.prod(train.target.shape[1:])))

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            return (self.pairs(*fields) for fields in train.batches(size))

        self.input.fit(lambda: (state for state, _ in pairs()))
        self.output.fit(lambda: (rate for _, rate in pairs()))

    def start(self) -> FieldMap:
        before: Tensor | None = None
        dt = self.dt / self.substeps

        def advance(u: Tensor) -> Tensor:
            nonlocal before
            for _ in range(self.substeps):
                u, before = self.integrator.step(self.rate, u, dt, before)
            return u

        return advance

    def rate(self, u: Tensor) -> Tensor:
        """Physical states ``(n, *grid, channels)`` to their rates of change, in units a unit of time."""
        return self.output.decode(self.network(self.encode(u)))

    def loss(self, u: Tensor, target: Tensor, rollout: Rollout, loss: Loss, generator: Generator) -> Tensor:
        """The loss of rates, or of the states that follow from them.

        Raises:
            ConfigError: Another rollout than ``teacher_forced``: rates are learnt from true states; or windows with
                fewer states than the differences need.
        """
        if not isinstance(rollout, TeacherForced):
            raise ConfigError("operator.stepper rate learns from true states; set operator/rollout=teacher_forced")
        states, rates = self.pairs(u, target)
        found = self.rate(states)
        if self.compare == "states":
            found, rates = states + self.dt * found, states + self.dt * rates
        return loss(found[:, None], rates[:, None])

    def pairs(self, u: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """States of windows and their rates from differences, both ``(n or n * frames, *grid, channels)``.

        Raises:
            ConfigError: Too few states for the order.
        """
        window = torch.cat([u[:, None], target], dim=1)
        n = window.shape[1]
        if n <= self.order:
            raise ConfigError(
                f"operator.stepper.order is {self.order}: that takes {self.order} states after an input, and there"
                f" are {n - 1}; set operator.dataset.steps={self.order}"
            )
        chosen = [(n - 1) // 2] if self.frames == "centre" else list(range(n))
        states = [window[:, j] for j in chosen]
        rates = [torch.einsum("j,nj...->n...", difference(n, j, self.order).to(u) / self.dt, window) for j in chosen]
        return torch.cat(states), torch.cat(rates)


def difference(points: int, at: int, order: int) -> Tensor:
    """Weights ``(points,)``, float64, of the first derivative at one of several points at distance 1.

    Exact for polynomials of degree ``order``: those ``order + 1`` neighbouring points count among which ``at`` is
    nearest to the middle.
    """
    first = min(max(at - order // 2, 0), points - order - 1)
    offsets = torch.arange(first, first + order + 1, dtype=torch.float64) - at
    powers = offsets ** torch.arange(order + 1, dtype=torch.float64)[:, None]
    slope = torch.zeros(order + 1, dtype=torch.float64)
    slope[1] = 1.0
    weights = torch.zeros(points, dtype=torch.float64)
    weights[first : first + order + 1] = torch.linalg.solve(powers, slope)
    return weights
