r"""The Jacobian of a vector of residuals with respect to all parameters of a network, in one backward pass.

Residual i depends on point i only, and so do all values in between. One backward pass of :math:`\sum_i r_i` then
brings to each layer :math:`z_i = W a_i + b` the row :math:`\delta_i = \partial r_i/\partial z_i` of every point at
once, and row i of the Jacobian with respect to W is the outer product :math:`\delta_i a_i^T`, which the usual backward
pass goes on to sum over the points. Goodfellow, "Efficient per-example gradient computations", arXiv 1510.01799; for
networks under differential operators each layer adds one outer product for every channel in which it was called.

A residual that is a single number may depend on all points. Any other residual whose rows mix is found out: the first
Jacobian is held against a backward pass of a random combination of the residuals, and where they differ each residual
gets a backward pass of its own (:func:`one_by_one`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from sciml.rowtape import Mixed, RowTape, gradients

CHUNK = 1 << 24  # entries of the gradients that a batched backward pass makes at a time

log = logging.getLogger("sciml")


class Rows:
    """A residual vector and its Jacobian.

    Args:
        parts: Evaluates the residuals, differentiable: tensors (n_c,) or (n_c, components), one for each condition.
        parameters: Tensors with P entries in all.

    Attributes:
        fast: Whether the Jacobian comes from one backward pass for each component of each part; None before the
            first one.
    """

    def __init__(self, parts: Callable[[], Sequence[Tensor]], parameters: Sequence[Tensor]) -> None:
        self.parts, self.parameters = parts, list(parameters)
        self.fast: bool | None = None
        self._sizes: set[int] = set()
        self._out: Tensor | None = None

    def __call__(self) -> tuple[Tensor, Tensor]:
        """The residuals (n,), those of a part point by point, and their Jacobian (n, P): detached.

        The Jacobian is overwritten by the next call.
        """
        with torch.enable_grad():
            if self.fast is not False:
                try:
                    return self._at_once()
                except Mixed as error:
                    log.warning("the Jacobian takes a backward pass for each residual: %s", error)
                    self.fast = False
            residual = _joined(self.parts())
            return residual.detach(), one_by_one(residual, self.parameters)

    def _at_once(self) -> tuple[Tensor, Tensor]:
        plain = None
        if self.fast is None:
            plain = self.parts()
            self._sizes = _sizes(plain)
        tape = RowTape(self._sizes)
        with tape:
            parts = self.parts()
        if not _sizes(parts) <= self._sizes:  # other points than before
            if plain is not None:
                raise Mixed("the number of residuals changes from one evaluation to the next")
            self.fast = None
            return self._at_once()
        residual = _joined(parts)
        n, width = len(residual), sum(p.numel() for p in self.parameters)
        if self._out is None or self._out.shape != (n, width) or self._out.dtype != residual.dtype:
            self._out = residual.new_empty(n, width)
        for part, rows in zip(parts, self._out.split([part.numel() for part in parts]), strict=True):
            components = part.reshape(len(part) if part.dim() else 1, -1).unbind(1)
            for k, component in enumerate(components):
                tape.collect(component, self.parameters, rows[k :: len(components)])
        if plain is not None:
            self._verify(_joined(plain), self._out)
            self.fast = True
        return residual.detach(), self._out

    def _verify(self, residual: Tensor, jacobian: Tensor) -> None:
        if not residual.requires_grad:
            return
        generator = Generator().manual_seed(0)  # its own: nobody else's random numbers change
        v = torch.randn(len(residual), generator=generator, dtype=residual.dtype).to(residual.device)
        expected = _flat(gradients(residual, self.parameters, v), self.parameters)
        # Rounding stays far below this share of the sum of magnitudes; rows that mix are wrong in the leading digit.
        bound = torch.finfo(residual.dtype).eps ** 0.5 * (v.abs() @ jacobian.abs())
        if not bool(((v @ jacobian - expected).abs() <= bound + bound.max()).all()):
            raise Mixed("a residual depends on more than its own point")


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([r.reshape(-1) for r in parts])


def _sizes(parts: Sequence[Tensor]) -> set[int]:
    return {len(r) for r in parts if r.dim() and len(r) > 1}


def one_by_one(residual: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The Jacobian (n, P) of any differentiable vector (n,), by a backward pass for each entry, many at a time."""
    n, width = len(residual), sum(p.numel() for p in parameters)
    if not residual.requires_grad:
        return residual.new_zeros(n, width)
    out = residual.new_empty(n, width)
    height = max(1, CHUNK // max(1, width * n))
    for start in range(0, n, height):
        count = min(height, n - start)
        seeds = residual.new_zeros(count, n)
        seeds[:, start : start + count].fill_diagonal_(1)
        out[start : start + count] = _flat(gradients(residual, parameters, seeds, batched=True), parameters)
    return out


def _flat(grads: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> Tensor:
    """Gradients, or batches of them, side by side; zeros for those that are None."""
    pairs = list(zip(grads, parameters, strict=True))
    lead = next((g.shape[: g.dim() - p.dim()] for g, p in pairs if g is not None), torch.Size())
    return torch.cat([(p.new_zeros(*lead, *p.shape) if g is None else g).reshape(*lead, -1) for g, p in pairs], dim=-1)
