r"""Trigonometric series of many terms as one operation.

.. math:: f_j(x) = \sum_{k < N} a_{kj} \sin(k r x) + b_{kj} \cos(k r x)

for columns j of x. Of each number one sine and one cosine are taken, those of its multiples by addition theorems, and
nothing of N times the size of x is ever stored.
"""

from __future__ import annotations

import ctypes
import logging
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sciml.kernel.compiler import NotCompiled, Passes
from sciml.kernel.fusing import fit, session

log = logging.getLogger("sciml")
_TENSORS = ("x", "coefficients", "bar", "value", "bar_x", "bar_coefficients")


def series(x: Tensor, coefficients: Tensor, rate: float) -> Tensor | None:
    """The series, or None outside a :func:`~sciml.kernel.fusing.fusing` block and where it cannot be one operation.

    Args:
        x: (rows, columns).
        coefficients: (2, N, columns): a, b.
        rate: r.

    Returns:
        (rows, columns).
    """
    block = session()
    if block is None or not block.build or not fit(x, coefficients):
        return None
    program = _program(coefficients.shape[1], x.dtype)
    return None if program is None else _Series.apply(program, x.contiguous(), coefficients.contiguous(), rate)


@cache
def _program(terms: int, dtype: torch.dtype) -> Passes | None:
    real = ctypes.c_float if dtype == torch.float32 else ctypes.c_double
    sizes = {"rows": ctypes.c_long, "columns": ctypes.c_long, "rate": real}
    try:
        return Passes("series", dtype, {"TERMS": terms}, {**sizes, **dict.fromkeys(_TENSORS, ctypes.c_void_p)})
    except NotCompiled as error:
        log.warning("series are not fused, and take longer: %s", error)
        return None


class _Series(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, program: Passes, x: Tensor, coefficients: Tensor, rate: float) -> Tensor:
        ctx.save_for_backward(x, coefficients)
        ctx.program, ctx.sizes = program, {"rows": x.shape[0], "columns": x.shape[1], "rate": rate}
        value = torch.empty_like(x)
        program.run("run_forward", **ctx.sizes, x=x, coefficients=coefficients, value=value)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, bar: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        x, coefficients = ctx.saved_tensors
        found = {"bar_x": torch.empty_like(x), "bar_coefficients": torch.empty_like(coefficients)}
        given = {"x": x, "coefficients": coefficients, "bar": bar.contiguous()}
        ctx.program.run("run_backward", **ctx.sizes, **given, **found)
        return None, found["bar_x"], found["bar_coefficients"], None
