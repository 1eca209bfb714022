"""A training step, forward and backward, as one compiled function.

In Taylor mode the loss is ordinary tensor arithmetic. The loss terms *and* their gradient are traced once, for the
sizes at hand (``make_fx`` runs the Python, so that plans, problems and networks may be any Python), and the whole is
handed to ``torch.compile``, which fuses all that stands between the matrix products. That is faster than compiling
the loss and leaving its backward pass to autograd: nothing is saved for later, and one call does it all. Networks that
need nested differentiation are not compiled: they are the ones whose operations have no rule.

A network that is a stack of layers is one operation of this project's own (:mod:`sciml.kernel`), in such a function as
well as in steps that cannot be one: those that combine gradients, weigh each point, or have more points every time.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from sciml.kernel.fusing import fusing
from sciml.pinn.jet import Jet

log = logging.getLogger("sciml")
Mode = Literal["auto", "always", "never"]
Points = dict[str, Tensor]
# What it takes to compile a step without stacks, the program of a stack, and a step around stacks, in seconds on two
# cores; and what is saved of a step for each point, parameter and channel with its value: from
# scripts/benchmarks/pinn_step. On other machines they are a guess, and no more is at stake than seconds.
STEP_SECONDS, STACK_SECONDS, REST_SECONDS = 30.0, 1.5, 4.0
SAVED = {torch.float32: 1.5e-10, torch.float64: 2.5e-10}


class CompiledStep:
    """Loss terms and their gradient, compiled where that pays.

    Args:
        evaluate: The residuals by condition of points by condition, of a field given by its jet.
        jet: The field.
        interior: The condition whose residual's magnitude is wanted at each point.
        mode: ``auto`` compiles on a CPU if the time it saves in ``steps`` exceeds what compiling takes, by a fixed
            rule, so that a run that is resumed computes as it did; ``always``; ``never``.
        steps: Evaluations to come, in the whole run.
        whole: Whether a step is the evaluation and the gradient of a weighted sum of mean squares and no more; of other
            steps only the stacks of layers are compiled.
    """

    def __init__(
        self,
        evaluate: Callable[[Jet, Points], Points],
        jet: Jet,
        *,
        interior: str,
        mode: Mode,
        steps: int,
        whole: bool = True,
    ) -> None:
        self._field = _Field(jet, evaluate, interior)
        self._jet, self._mode, self._steps, self._whole = jet, mode, steps, whole
        self._fuses: bool | None = None
        self._function: Callable[..., tuple[Tensor, ...]] | None = None
        self._sizes: dict[str, torch.Size] = {}
        self._evaluations = 0
        # As a step sees them: no graph is made, and an optimiser changes them in place.
        self._names, parameters = zip(*self._field.named_parameters(), strict=True)
        self._parameters: tuple[Tensor, ...] = parameters

    def ready(self, points: Points) -> bool:
        """Whether steps at as many points are compiled; decides, and compiles, at the first of that size."""
        if self._mode == "never" or not self._whole:
            return False
        sizes = {name: x.shape for name, x in points.items()}
        if sizes != self._sizes:
            self._sizes, self._function = sizes, None
            saved, stacks = self._saves(points)
            seconds = STACK_SECONDS * stacks + REST_SECONDS if stacks else STEP_SECONDS
            if self._mode == "always" or saved > seconds:
                self._function = self._compile(points, seconds, saved)
        return self._function is not None

    def fusing(self, points: Points) -> AbstractContextManager[object]:
        """A block in which stacks of layers are one operation, if that pays: for steps that are not :meth:`ready`.

        What is computed in it can be differentiated once. Decides at the first points that it sees.
        """
        if self._fuses is None:
            saved, stacks = (0.0, 0) if self._mode == "never" else self._saves(points)
            self._fuses = stacks > 0 and (self._mode == "always" or saved > STACK_SECONDS * stacks)
        return fusing() if self._fuses else nullcontext()

    def __call__(self, points: Points, weights: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One evaluation.

        Args:
            points: By condition, of the sizes that :meth:`ready` has seen.
            weights: λ (number of conditions,), in the order of ``points``.

        Returns:
            The mean squared residuals (number of conditions,); the magnitude (n,) of the interior residual; the
            gradients of Σ_c λ_c mean_c with respect to the parameters, in their order. None has a graph.
        """
        assert self._function is not None, "asked whether it is ready first"
        self._jet.evaluations += self._evaluations
        with torch.no_grad():
            terms, magnitude, *gradients = self._function(*self._inputs(points, weights))
        return terms, magnitude, tuple(gradients)

    def _inputs(self, points: Points, weights: Tensor) -> tuple[Tensor, ...]:
        return *(p.detach() for p in self._parameters), *self._field.buffers(), *points.values(), weights

    def _saves(self, points: Points) -> tuple[float, int]:
        """Seconds in all steps together, and the number of stacks."""
        before = self._jet.evaluations
        with torch.no_grad(), fusing(build=False) as found:
            self._field({name: x[:1] for name, x in points.items()})
        self._jet.evaluations = before
        x = next(iter(points.values()))
        if self._jet.mode == "nested" or x.device.type != "cpu" or x.dtype not in SAVED:
            return 0.0, 0
        size = sum(p.numel() for p in self._parameters) * sum(len(x.flatten(0, -2)) for x in points.values())
        return SAVED[x.dtype] * self._steps * size * (1 + self._jet.channels), len(found.stacks)

    def _compile(self, points: Points, seconds: float, saved: float) -> Callable[..., tuple[Tensor, ...]] | None:
        start, before = time.monotonic(), self._jet.evaluations
        why = f", which saves about {saved:.0f} s" if self._mode == "auto" else ""
        log.warning("compiling the training step: some %.0f s%s", seconds, why)
        names, buffers = list(points), [name for name, _ in self._field.named_buffers()]
        cuts = len(self._names), len(self._names) + len(buffers)

        def step(*tensors: Tensor) -> tuple[Tensor, ...]:
            parameters, others, inputs = tensors[: cuts[0]], tensors[cuts[0] : cuts[1]], tensors[cuts[1] : -1]
            weights = tensors[-1]
            with torch.enable_grad():
                leaves = [p.requires_grad_() for p in parameters]
                state = dict(zip((*self._names, *buffers), (*leaves, *others), strict=True))
                residuals = functional_call(self._field, state, (dict(zip(names, inputs, strict=True)),))
                terms = torch.stack([residuals[name].square().mean() for name in names])
                gradients = torch.autograd.grad((weights * terms).sum(), leaves, materialize_grads=True)
            magnitude = magnitude_of(residuals[self._field.interior])
            return tuple(a.detach() for a in (terms, magnitude, *gradients))

        x = next(iter(points.values()))
        inputs = self._inputs(points, x.new_ones(len(points)))
        function: Any = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the compiler, about itself
                with fusing():
                    graph = make_fx(step)(*inputs)
                # Not torch.compile: what it adds here, checks of its inputs at every call, costs as much as ten layers.
                with torch.no_grad():
                    function = torch._inductor.compile(graph, list(inputs))  # pyright: ignore[reportCallIssue]
                    function(*inputs)
        except Exception as error:  # noqa: BLE001 - a compiler fails in many ways, none of which a run must die of
            lines = str(error).strip().splitlines() or [type(error).__name__]
            log.warning("the training step is not compiled, and takes longer: %s", lines[0])
            function = None
        self._evaluations, self._jet.evaluations = sum(len(x.flatten(0, -2)) for x in points.values()), before
        log.debug("compiled in %.0f s", time.monotonic() - start)
        return function


def magnitude_of(residual: Tensor) -> Tensor:
    """|r| at each point (n,), from (n,) or (n, components)."""
    return residual.abs() if residual.dim() == 1 else torch.linalg.vector_norm(residual, dim=1)


class _Field(nn.Module):
    """A jet's network and the evaluation, as a module whose tensors can be replaced."""

    def __init__(self, jet: Jet, evaluate: Callable[[Jet, Points], Points], interior: str) -> None:
        super().__init__()
        self.network, self.interior, self._jet, self._evaluate = jet.network, interior, jet, evaluate

    def forward(self, points: Points) -> Points:
        return self._evaluate(self._jet, points)
