"""Layers with a pointwise function between them as one operation, where the training step is compiled.

:func:`layered` is what networks that are such stacks compute; outside a :func:`~sciml.kernel.fusing.fusing` block it
goes layer by layer. What is fused can be differentiated with respect to weights and biases.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sciml.kernel.compiler import NotCompiled
from sciml.kernel.fusing import fit, session
from sciml.kernel.program import Program
from sciml.kernel.source import Stack
from sciml.taylor import Taylor
from sciml.taylor_plan import Plan

log = logging.getLogger("sciml")

NAMES: dict[Callable[[Tensor], Tensor], str] = {torch.tanh: "tanh", torch.sin: "sin"}
# Beyond this the sums of the gradients leave the cache, and the products of torch's library are the faster ones.
WIDEST = 128
_programs: list[Program] = []


def fused(x: Any, layers: Iterable[nn.Module], function: Callable[[Tensor], Tensor], scale: float = 1.0) -> Any:
    """The stack at ``x``, or None where it has to go layer by layer.

    Args:
        x: Points (n, inputs), or a :class:`~sciml.taylor.Taylor` of that shape.
        layers: Linear ones, with biases.
        function: What stands between them.
        scale: What its argument is multiplied by.

    Returns:
        What the layers would: (n, outputs), as a Taylor if ``x`` is one.
    """
    block = session()
    if block is None or function not in NAMES:
        return None
    taylor = x if isinstance(x, Taylor) else None
    inputs: list[Any] = [x] if taylor is None else [x.value, *(_row(c, x.value) for c in taylor.channels)]
    pairs: list[Any] = [(layer.weight, layer.bias) for layer in layers]
    if scale != 1:
        pairs[:-1] = [(scale * weight, scale * bias) for weight, bias in pairs[:-1]]
    weights, biases = [w for w, _ in pairs], [b for _, b in pairs]
    if not _fit(inputs, weights, biases):
        return None
    widths = weights[0].shape[1], *(w.shape[0] for w in weights)
    stack = _stack(widths, NAMES[function], inputs[0].dtype, None if taylor is None else taylor.plan)
    block.stacks.add(stack)
    number = _number(stack) if block.build else None
    if number is None:
        return None
    value, *channels = _Fused.apply(number, len(inputs), *inputs, *weights, *biases)
    return value if taylor is None else Taylor(taylor.plan, value, channels)


def layered(x: Any, layers: Iterable[nn.Module], function: Callable[[Tensor], Tensor], scale: float = 1.0) -> Any:
    """The stack at ``x``, fused or layer by layer; arguments and result as of :func:`fused`."""
    layers = list(layers)
    found = fused(x, layers, function, scale)
    if found is not None:
        return found
    *hidden, last = layers
    for layer in hidden:
        z = layer(x)
        x = function(z if scale == 1 else z * scale)
    return last(x)


@cache
def _stack(widths: tuple[int, ...], function: str, dtype: torch.dtype, plan: Plan | None) -> Stack:
    return Stack.of(widths, function, str(dtype).removeprefix("torch."), plan)


@cache
def _number(stack: Stack) -> int | None:
    """The place of a stack's program among all; None where it cannot be compiled."""
    try:
        _programs.append(Program(stack))
    except NotCompiled as error:
        log.warning("layers are not fused, and take longer: %s", error)
        return None
    return len(_programs) - 1


def _row(channel: Tensor | None, value: Tensor) -> Tensor:
    return value.new_zeros(1, value.shape[1]) if channel is None else channel


def _fit(inputs: list[Tensor], weights: list[Tensor], biases: list[Tensor]) -> bool:
    value = inputs[0]
    return (
        value.dim() == 2
        and len(value) > 0
        and len(weights) > 1
        and all(a.dim() == 2 and not a.requires_grad for a in inputs)
        and fit(*inputs, *weights, *biases)
        and max(max(w.shape) for w in weights) <= WIDEST
    )


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: int, n: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        layers = (len(tensors) - n) // 2
        inputs, weights, biases = list(tensors[:n]), list(tensors[n : n + layers]), list(tensors[n + layers :])
        kept, *outputs = torch.ops.sciml.stack_forward(program, inputs, weights, biases)
        ctx.save_for_backward(kept, *inputs, *weights)
        ctx.program, ctx.n = program, n
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        kept, *rest = ctx.saved_tensors
        inputs, weights = rest[: ctx.n], rest[ctx.n :]
        flat = torch.ops.sciml.stack_backward(ctx.program, inputs, weights, kept, list(cotangents))
        found: list[list[Tensor]] = [[], []]
        sizes = [size for w in weights for size in (w.numel(), w.shape[0])]
        for i, part in enumerate(flat.split(sizes)):
            found[i % 2].append(part if i % 2 else part.view_as(weights[i // 2]))
        return None, None, *[None] * ctx.n, *found[0], *found[1]


_library = torch.library.Library("sciml", "DEF")
_library.define("stack_forward(int program, Tensor[] inputs, Tensor[] weights, Tensor[] biases) -> Tensor[]")
_library.define(
    "stack_backward(int program, Tensor[] inputs, Tensor[] weights, Tensor kept, Tensor[] cotangents) -> Tensor"
)


def _forward(program: int, inputs: list[Tensor], weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    return _programs[program].forward(inputs, weights, biases)


def _backward(
    program: int, inputs: list[Tensor], weights: list[Tensor], kept: Tensor, cotangents: list[Tensor]
) -> Tensor:
    return _programs[program].backward(inputs, weights, kept, cotangents)


def _forward_shapes(program: int, inputs: list[Tensor], weights: list[Tensor], biases: list[Tensor]) -> list[Tensor]:
    value, made = inputs[0], _programs[program]
    outputs = [value.new_empty(value.shape[0], weights[-1].shape[0]) for _ in inputs]
    return [value.new_empty(made.kept(value.shape[0])), *outputs]


def _backward_shapes(
    program: int, inputs: list[Tensor], weights: list[Tensor], kept: Tensor, cotangents: list[Tensor]
) -> Tensor:
    return kept.new_empty(_programs[program].parameters)


_library.impl("stack_forward", _forward, "CPU")
_library.impl("stack_backward", _backward, "CPU")
torch.library.register_fake("sciml::stack_forward", _forward_shapes, lib=_library)
torch.library.register_fake("sciml::stack_backward", _backward_shapes, lib=_library)
