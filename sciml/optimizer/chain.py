"""Optimisers one after another on the same parameters, each for a number of steps: Adam first, then L-BFGS, and so on.

A stage's optimiser is made when the stage begins, and gone when it ends. The state carries the number of the stage and
its optimiser's state, so that a resumed run goes on in the middle of a stage.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from sciml.config import did_you_mean
from sciml.errors import ConfigError
from sciml.optimizer.base import Objective, ObjectiveOptimizer
from sciml.ranges import Positive

log = logging.getLogger("sciml")
KEYS = ("optimizer", "steps")


@final
class Chain(ObjectiveOptimizer):
    """Stages of optimisers; plain ones of torch and those that take an objective alike.

    Args:
        params: Parameters, or groups of them; all stages get them.
        stages: One after another, each ``optimizer``, called with the parameters, and ``steps``, how many it takes. The
            last one goes on for as long as the training does, and its steps may be null.
        lr: Factor of the learning rates of all stages: what a schedule changes.

    Raises:
        ConfigError: There is no stage, or one is not as above.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        stages: Sequence[Mapping[str, Any]],
        lr: Positive = 1.0,
    ) -> None:
        if not stages:
            raise ConfigError("optimizer.stages is empty; a chain needs at least one stage")
        for i, stage in enumerate(stages):
            _check(i, stage, last=i + 1 == len(stages))
        super().__init__(params, {"lr": lr})
        self.stages = stages
        self._begin(0)

    @torch.no_grad()
    def step(self, objective: Objective) -> Tensor:
        if self.taken == self.stages[self.stage]["steps"] and self.stage + 1 < len(self.stages):
            self._begin(self.stage + 1)
            log.info("stage %d of %d: %s", self.stage + 1, len(self.stages), type(self.current).__name__)
        self._scale()
        self.taken += 1
        current: Any = self.current
        if isinstance(current, (ObjectiveOptimizer, torch.optim.LBFGS)):
            return torch.as_tensor(current.step(objective)).detach()
        loss = objective()
        current.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The place in the chain, and the state of the optimiser at work."""
        place = {"stage": self.stage, "taken": self.taken, "rates": list(self._rates)}
        return {**super().state_dict(), **place, "current": self.current.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the state was saved.

        Raises:
            ConfigError: It was saved by a longer chain.
        """
        super().load_state_dict({name: state_dict[name] for name in ("state", "param_groups")})
        if state_dict["stage"] >= len(self.stages):
            raise ConfigError(f"the checkpoint is in stage {state_dict['stage'] + 1}, the chain has {len(self.stages)}")
        self._begin(state_dict["stage"])
        self.taken, self._rates = state_dict["taken"], list(state_dict["rates"])
        self.current.load_state_dict(state_dict["current"])

    def _begin(self, stage: int) -> None:
        make = cast("Callable[[list[Any]], Optimizer]", self.stages[stage]["optimizer"])
        groups = [list(group["params"]) for group in self.param_groups]
        # Most optimisers of the second order take one group, and a list of parameters is one.
        self.current = make(groups[0] if len(groups) == 1 else [{"params": group} for group in groups])
        self.stage, self.taken = stage, 0
        self._rates = [float(group["lr"]) for group in self.current.param_groups]

    def _scale(self) -> None:
        """The stage's own learning rates, times the factor of the chain's groups."""
        for own, group, rate in zip(self.param_groups, self.current.param_groups, self._rates, strict=True):
            group["lr"] = rate * own["lr"]


def _check(i: int, stage: Mapping[str, Any], *, last: bool) -> None:
    place = f"optimizer.stages.{i}"
    for key in stage:
        if key not in KEYS:
            raise ConfigError(f"there is no setting {place}.{key}{did_you_mean(str(key), KEYS, f'{place}.')}")
    for key in KEYS:
        if key not in stage:
            raise ConfigError(f"{place}.{key} is missing")
    steps = stage["steps"]
    if not callable(stage["optimizer"]):
        raise ConfigError(f"{place}.optimizer must be a node with _target_ and _partial_: true")
    if not (isinstance(steps, int) and not isinstance(steps, bool) and steps > 0) and not (steps is None and last):
        allowed = "a positive whole number" + (", or null" if last else "")
        raise ConfigError(f"bad value for {place}.steps: {steps!r} is not {allowed}")
