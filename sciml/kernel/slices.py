r"""Points that are averaged over slices, and read from them what the slices found, as one operation.

.. math::
    w_{ij} = \mathrm{softmax}_j\big((A x_i + b)_j\big), \qquad
    S_j = \sum_i w_{ij} f_i, \quad t_j = \sum_i w_{ij}, \qquad
    s' = g(S, t), \qquad x'_i = \sum_j w_{ij} s'_j

for points i, slices j and any function g of what is small. The shares w, points times slices of them, are made anew in
each pass, a few hundred points at a time: they never leave the processor's cache.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.kernel.compiler import NotCompiled, Passes
from sciml.kernel.fusing import fit, session

log = logging.getLogger("sciml")
# Beyond this most of the time goes into products, and those of torch's library are the faster ones: with 64 slices the
# operation takes 0.9 times as long as torch's at 16 features of a head, 1.3 times at 32.
WIDEST = 16
Between = Callable[[Tensor, Tensor], Tensor]
_SIZES = ("batch", "points", "heads")
_READ = ("projected", "weights", "biases", "found", "bar_sums", "bar_totals", "bar_read")
_WRITTEN = ("sums", "totals", "read", "bar_found", "bar_projected", "bar_weights", "bar_biases")


def through_slices(
    projected: Tensor, weights: Tensor, biases: Tensor, between: Between, parameters: Sequence[Tensor]
) -> Tensor | None:
    """What points read; None outside a :func:`~sciml.kernel.fusing.fusing` block and where it cannot be one operation.

    Args:
        projected: (n, points, 2, heads, d): x, then f.
        weights: A, (heads, slices, d).
        biases: b, (heads, slices).
        between: g, from (n, heads, slices, d) and (n, heads, slices) to (n, heads, slices, d).
        parameters: The tensors in ``between`` that may want a gradient.

    Returns:
        (n, points, heads, d).
    """
    block = session()
    _, slices, features = weights.shape
    if block is None or not block.build or features > WIDEST or not fit(projected, weights, biases, *parameters):
        return None
    program = _program(slices, features, projected.dtype)
    if program is None:
        return None
    tensors = (a.contiguous() for a in (projected, weights, biases))
    return _ThroughSlices.apply(program, between, *tensors, *parameters)


@cache
def _program(slices: int, features: int, dtype: torch.dtype) -> Passes | None:
    fields = {**dict.fromkeys(_SIZES, ctypes.c_long), **dict.fromkeys((*_READ, *_WRITTEN), ctypes.c_void_p)}
    try:
        return Passes("slices", dtype, {"SLICES": slices, "FEATURES": features}, fields)
    except NotCompiled as error:
        log.warning("attention among slices is not fused, and takes longer: %s", error)
        return None


class _ThroughSlices(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        program: Passes,
        between: Between,
        projected: Tensor,
        weights: Tensor,
        biases: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        n, points, _, heads, d = projected.shape
        slices = weights.shape[1]
        ctx.program, ctx.sizes = program, {"batch": n, "points": points, "heads": heads}
        given = {"projected": projected, "weights": weights, "biases": biases}
        sums, totals = projected.new_zeros(n, heads, slices, d), projected.new_zeros(n, heads, slices)
        program.run("run_slice", **ctx.sizes, **given, sums=sums, totals=totals)
        # What happens among the slices is torch's: a graph of its own, which backward() goes through.
        ctx.leaves = (sums.requires_grad_(), totals.requires_grad_())
        with torch.enable_grad():
            ctx.found = between(sums, totals)
        ctx.parameters = parameters
        ctx.save_for_backward(projected, weights, biases)
        read = projected.new_empty(n, points, heads, d)
        program.run("run_read", **ctx.sizes, **given, found=ctx.found.detach().contiguous(), read=read)
        return read

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        program: Passes = ctx.program
        projected, weights, biases = ctx.saved_tensors
        given = {"projected": projected, "weights": weights, "biases": biases, "bar_read": bar.contiguous()}
        found = ctx.found.detach().contiguous()
        bar_found = torch.zeros_like(found)
        program.run("run_read_backward", **ctx.sizes, **given, bar_found=bar_found)
        wanted = [p for p in ctx.parameters if p.requires_grad]
        bar_sums, bar_totals, *others = torch.autograd.grad(
            ctx.found, [*ctx.leaves, *wanted], bar_found, retain_graph=True, materialize_grads=True
        )
        made = {
            "bar_projected": torch.empty_like(projected),
            "bar_weights": weights.new_zeros(len(projected), *weights.shape),
            "bar_biases": biases.new_zeros(len(projected), *biases.shape),
        }
        sums = {"bar_sums": bar_sums.contiguous(), "bar_totals": bar_totals.contiguous()}
        program.run("run_backward", **ctx.sizes, **given, found=found, **sums, **made)
        rest = iter(others)
        between = [next(rest) if p.requires_grad else None for p in ctx.parameters]
        return None, None, made["bar_projected"], made["bar_weights"].sum(0), made["bar_biases"].sum(0), *between
