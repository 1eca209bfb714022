"""The residuals of a training step as one compiled function.

In Taylor mode a step is ordinary tensor arithmetic with one backward pass: it is traced once, for the sizes at hand,
and handed to ``torch.compile``, which fuses what stands between the matrix products. Tracing (``make_fx``) runs the
Python once, so that plans, problems and networks may be any Python. Networks that need nested differentiation are not
compiled: no compiler of torch takes backward passes of backward passes.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from sciml.pinn.jet import Jet

log = logging.getLogger("sciml")
Mode = Literal["auto", "always", "never"]
Points = dict[str, Tensor]
# What a compilation takes on two cores, in seconds, and what it saves of a step for each point, parameter and channel:
# scripts/benchmarks/pinn_step prints both. On other machines they are a guess, and no more is at stake than seconds.
COMPILE_SECONDS = 30.0
SAVED = {torch.float32: 1.1e-10, torch.float64: 2.0e-10}


class Compiled:
    """Evaluates residuals, compiled where that pays.

    Args:
        evaluate: The residuals by condition of points by condition, of a field given by its jet.
        jet: The field.
        mode: ``auto`` compiles on a CPU if the time it saves in ``steps`` exceeds what compiling takes, by a fixed
            rule, so that a run that is resumed computes as it did; ``always``; ``never``.
        steps: Evaluations to come, in the whole run.
    """

    def __init__(self, evaluate: Callable[[Jet, Points], Points], jet: Jet, *, mode: Mode, steps: int) -> None:
        self._evaluate, self._jet, self._mode, self._steps = evaluate, jet, mode, steps
        self._function: Callable[..., Points] | None = None
        self._sizes: dict[str, torch.Size] = {}
        self._evaluations = 0

    def __call__(self, points: Points) -> Points:
        """Residuals by condition, differentiable with respect to the field's parameters."""
        if self._mode == "never":
            return self._evaluate(self._jet, points)
        sizes = {name: x.shape for name, x in points.items()}
        if sizes != self._sizes:
            self._sizes, self._function = sizes, None
            if self._mode == "always" or self._pays(points):
                self._function = self._compile(points)
        if self._function is None:
            return self._evaluate(self._jet, points)
        self._jet.evaluations += self._evaluations
        return self._function(self._state(), points)

    def _state(self) -> dict[str, Tensor]:
        network = self._jet.network
        return {**dict(network.named_parameters()), **dict(network.named_buffers())}

    def _pays(self, points: Points) -> bool:
        before = self._jet.evaluations
        with torch.no_grad():
            self._evaluate(self._jet, {name: x[:1] for name, x in points.items()})
        self._jet.evaluations = before
        x = next(iter(points.values()))
        if self._jet.mode == "nested" or x.device.type != "cpu" or x.dtype not in SAVED:
            return False
        size = sum(p.numel() for p in self._jet.network.parameters()) * sum(len(x) for x in points.values())
        saved = SAVED[x.dtype] * self._steps * size * (1 + self._jet.channels)
        log.debug("compiling would save about %.0f s", saved)
        return saved > COMPILE_SECONDS

    def _compile(self, points: Points) -> Callable[..., Points] | None:
        start, before = time.monotonic(), self._jet.evaluations
        log.info("compiling the training step")

        def residuals(state: dict[str, Tensor], points: Points) -> Points:
            return functional_call(_Field(self._jet, self._evaluate), _prefixed(state), (points,))

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about itself
                graph = make_fx(residuals)(self._state(), points)
                # Gradients of several losses may be taken of one evaluation: no buffer is given away after the first.
                import torch._functorch.config as functorch

                functorch.donated_buffer = False
                function: Any = torch.compile(graph, dynamic=False, fullgraph=True)
                found = function(self._state(), points)
                torch.stack([r.sum() for r in found.values()]).sum().backward()
        except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, none of which a run must die of
            reason = str(error).strip().splitlines() or [type(error).__name__]
            log.warning("the training step is not compiled: %s", reason[0])
            function = None
        for p in self._jet.network.parameters():
            p.grad = None
        self._evaluations = sum(len(x.flatten(0, -2)) for x in points.values())
        self._jet.evaluations = before
        if function is not None:
            log.info("compiled in %.0f s", time.monotonic() - start)
        return function


class _Field(nn.Module):
    """A jet's network and the evaluation, as a module whose tensors can be replaced."""

    def __init__(self, jet: Jet, evaluate: Callable[[Jet, Points], Points]) -> None:
        super().__init__()
        self.network, self._jet, self._evaluate = jet.network, jet, evaluate

    def forward(self, points: Points) -> Points:
        return self._evaluate(self._jet, points)


def _prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": tensor for name, tensor in state.items()}
