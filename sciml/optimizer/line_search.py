r"""Line searches along a direction of descent.

Strong Wolfe conditions for a step t, with :math:`\phi(t) = f(x + t d)`:

.. math:: \phi(t) \le \phi(0) + c_1 t\,\phi'(0), \qquad |\phi'(t)| \le c_2 |\phi'(0)|.

Nocedal and Wright, "Numerical Optimization" (2nd edition), algorithms 3.5 and 3.6, with the cubic interpolation (3.59).
Where this differs: a value that is not finite counts as too large; a trial step keeps a tenth of the bracket away from
its ends; and when the evaluations are used up, the best step that meets the first condition is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

C1, C2 = 1e-4, 0.9
GROWTH = 10.0  # of the step from one trial to the next, while the function keeps falling


@dataclass
class Trial:
    """A point on the line.

    Args:
        t: The step.
        value: f there, as a number.
        slope: The derivative along the line.
        loss: f there, as the tensor it came in.
        gradient: The gradient there (P,).
    """

    t: float
    value: float
    slope: float
    loss: Tensor
    gradient: Tensor


def strong_wolfe(
    phi: Callable[[float], Trial], start: Trial, step: float, *, max_evaluations: int, shortest: float
) -> Trial | None:
    """A step that meets the strong Wolfe conditions.

    Args:
        phi: Evaluates a step.
        start: Step 0; its slope is negative.
        step: The first trial.
        max_evaluations: Calls of ``phi`` at most.
        shortest: Brackets below this length are not searched any further.

    Returns:
        The step; one that meets only the first condition if none was found that meets both; None if none meets that.
    """
    search = _Search(phi, start, max_evaluations, shortest)
    previous, t = start, step
    while search.left > 0:
        trial = search.at(t)
        if not search.decreases(trial) or (previous is not start and trial.value >= previous.value):
            return search.zoom(previous, trial)
        if search.flat(trial):
            return trial
        if trial.slope >= 0:
            return search.zoom(trial, previous)
        reach = _cubic(previous, trial)
        low, high = t + 0.01 * (t - previous.t), GROWTH * t
        previous, t = trial, min(max(reach, low), high) if math.isfinite(reach) and reach > t else high
    return search.best


def backtrack(value: Callable[[float], float], bound: Callable[[float], float], step: float, *, trials: int) -> float:
    """The first of step, step/2, step/4, ... whose value is at most the bound; 0 if none of the trials is."""
    for _ in range(trials):
        if value(step) <= bound(step):
            return step
        step /= 2
    return 0.0


def best_of_halved(value: Callable[[float], float], start: float, step: float, *, trials: int) -> tuple[float, float]:
    """The best of step, step/2, step/4, ... and its value, up to where the values rise again; 0 if none is below start.

    Args:
        value: Evaluates a step.
        start: The value at step 0.
        step: The first trial.
        trials: Steps at most.
    """
    best, lowest = 0.0, start
    for _ in range(trials):
        now = value(step)
        if now < lowest:
            best, lowest = step, now
        elif best:
            break
        step /= 2
    return best, lowest


class _Search:
    def __init__(self, phi: Callable[[float], Trial], start: Trial, left: int, shortest: float) -> None:
        self.phi, self.start, self.left, self.shortest = phi, start, left, shortest
        self.best: Trial | None = None

    def at(self, t: float) -> Trial:
        self.left -= 1
        trial = self.phi(t)
        if self.decreases(trial) and (self.best is None or trial.value < self.best.value):
            self.best = trial
        return trial

    def decreases(self, trial: Trial) -> bool:
        """The first condition; the value itself must be lower, too, which rounding can hide in the condition."""
        bound = self.start.value + C1 * trial.t * self.start.slope
        return math.isfinite(trial.slope) and trial.value <= bound and trial.value < self.start.value

    def flat(self, trial: Trial) -> bool:
        return abs(trial.slope) <= -C2 * self.start.slope

    def zoom(self, low: Trial, high: Trial) -> Trial | None:
        """Between a step that decreases, and one beyond which there is a point that meets both conditions."""
        while self.left > 0 and abs(high.t - low.t) > self.shortest:
            width = high.t - low.t
            t = _cubic(low, high) if math.isfinite(high.value) and math.isfinite(high.slope) else low.t + 0.1 * width
            if not math.isfinite(t) or not 0.1 <= (t - low.t) / width <= 0.9:
                inside = (t - low.t) / width if math.isfinite(t) else 0.5
                t = low.t + min(max(inside, 0.1), 0.9) * width
            trial = self.at(t)
            if not self.decreases(trial) or trial.value >= low.value:
                high = trial
            elif self.flat(trial):
                return trial
            else:
                if trial.slope * width >= 0:
                    high = low
                low = trial
        return self.best


def _cubic(a: Trial, b: Trial) -> float:
    """The minimum of the cubic through two values and slopes; NaN where it has none."""
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return math.nan
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    denominator = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / denominator if denominator else math.nan
