"""The space that a search looks for hyper-parameters in, and what it tries next.

A parameter is a choice between words, whole numbers, or real numbers; a number may be in steps or on a logarithmic
scale. The next point comes from TPE (Bergstra et al. 2011, section 4) as Optuna implements it. Deviations from its
defaults: points are drawn evenly until 5 trials are done, not 10, because runs are expensive and searches short (with
15 and 30 trials on quadratics of 2 and 4 parameters, Branin and Hartmann-6, the median over 12 to 16 seeds is better in
seven of eight cases); and, as every run is deterministic, a point that was tried before is drawn anew, and when TPE
insists on it, drawn evenly from what has not been tried.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Value = str | int | float
Direction = Literal["minimize", "maximize"]
STARTUP = 5  # trials that must be done before TPE proposes
REDRAWS = 10  # proposals that were tried before until one is drawn evenly
LISTED = 10_000  # points of a space that can be gone through one by one


@dataclass(frozen=True)
class Parameter:
    """One dimension of the space.

    Args:
        key: As it stands in an override, with ``+`` if it is added.
        kind: ``choice``, ``whole`` or ``real``.
        choices: What can be chosen, as it stands in an override.
        low: Smallest number.
        high: Largest number.
        step: Between numbers; None for a continuum.
        log: Whether the scale is logarithmic.
        group: Whether it chooses a config file.
    """

    key: str
    kind: Literal["choice", "whole", "real"]
    choices: tuple[str, ...] = ()
    low: int | float = 0
    high: int | float = 0
    step: int | float | None = None
    log: bool = False
    group: bool = False

    @property
    def name(self) -> str:
        """The key without ``+``."""
        return self.key.lstrip("+")

    @property
    def size(self) -> float:
        """How many values there are; infinite for a continuum."""
        if self.kind == "choice":
            return len(self.choices)
        return round((self.high - self.low) / self.step) + 1 if self.step else math.inf

    def value(self, index: int) -> Value:
        """One of the values of a choice, or of numbers in steps."""
        if self.kind == "choice":
            return self.choices[index]
        exact = Decimal(repr(self.low)) + index * Decimal(
            repr(self.step)
        )  # 0.3, where floats add up to 0.30000000000000004
        return int(exact) if self.kind == "whole" else float(exact)

    def draw(self, generator: random.Random) -> Value:
        """A value drawn evenly."""
        if math.isfinite(self.size):
            return self.value(generator.randrange(int(self.size)))
        if self.log:
            return math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return generator.uniform(self.low, self.high)

    def ends(self) -> list[Value]:
        """Values to try a config with: every choice, the ends of a range of numbers."""
        if self.kind == "choice":
            return list(self.choices)
        return list(dict.fromkeys([self.low, self.high]))

    def text(self, value: Value) -> str:
        """A value as it stands in an override, the same for the same point."""
        if self.kind == "choice":
            return str(value)
        if self.step:
            return str(self.value(round((value - self.low) / self.step)))  # type: ignore[operator]
        return repr(float(value))

    def distribution(self) -> BaseDistribution:
        """The same in Optuna's words."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.choices)
        if self.kind == "whole":
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def __str__(self) -> str:
        if self.kind == "choice":
            inner = ", ".join(self.choices)
        else:
            inner = f"{self.low:g} to {self.high:g}"
            inner += f" in steps of {self.step:g}" if self.step and (self.kind, self.step) != ("whole", 1) else ""
            inner += ", logarithmic" if self.log else ""
        return f"{self.key}: {inner}"


def size(space: Sequence[Parameter]) -> float:
    """How many points there are."""
    return math.prod(parameter.size for parameter in space)


def texts(space: Sequence[Parameter], params: Mapping[str, Value]) -> dict[str, str]:
    """A point as it stands in overrides, by name."""
    return {parameter.name: parameter.text(params[parameter.name]) for parameter in space}


def propose(
    space: Sequence[Parameter], direction: Direction, past: Sequence[FrozenTrial], seed: int
) -> dict[str, Value] | None:
    """The point to try next.

    Args:
        space: What can be chosen.
        direction: ``minimize`` or ``maximize``.
        past: The trials so far, in every state. The proposal depends on them and on their number.
        seed: Of the search.

    Returns:
        Values by name; None when every point was tried.
    """
    tried = {tuple(texts(space, trial.params).values()) for trial in past}
    if len(tried) >= size(space):
        return None
    for attempt in range(REDRAWS):
        params = _tpe(space, direction, past, _seed(seed, len(past), attempt))
        if tuple(texts(space, params).values()) not in tried:
            return params
    generator = random.Random(_seed(seed, len(past), REDRAWS))
    if size(space) <= LISTED:
        every = product(*([p.value(i) for i in range(int(p.size))] for p in space))
        points = [dict(zip((p.name for p in space), point, strict=True)) for point in every]
        return generator.choice([point for point in points if tuple(texts(space, point).values()) not in tried])
    while True:
        params = {parameter.name: parameter.draw(generator) for parameter in space}
        if tuple(texts(space, params).values()) not in tried:
            return params


def _tpe(space: Sequence[Parameter], direction: Direction, past: Sequence[FrozenTrial], seed: int) -> dict[str, Any]:
    import optuna

    # Asked on a copy: the trial that goes into the journal has all its parameters at once.
    # constant_liar: points that other workers are trying count as bad ones, so that two do not try the same.
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP, constant_liar=True)
    copy = optuna.create_study(direction=direction, sampler=sampler)
    copy.add_trials(past)
    return copy.ask({parameter.name: parameter.distribution() for parameter in space}).params


def _seed(*numbers: int) -> int:
    """One generator for each trial: a search that was interrupted proposes what it would have proposed."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:4])
