"""Gradients of each example by itself, with respect to any parameters.

A network is a function of named parameters and one example; its pull-back is mapped over the examples. This knows no
layer and misses no parameter: weights of a spectral convolution, ``F.linear``, a norm, an LSTM cell. It costs memory
for every parameter and example, which is why layers with Kronecker structure go another way
(:mod:`sciml.influence.capture`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sciml.influence.base import Params  # which needs this module

NUMBERS = 1 << 24  # entries of the gradients that are made at one time


def pull_back(call: Callable[[Params, Tensor], Tensor], params: Params, x: Tensor, seeds: Tensor) -> Tensor:
    """Gradients of ``seeds[k, i] . outputs(x[i])``.

    Args:
        call: ``(params, x)`` to outputs ``(n, ...)``, each example by itself.
        params: With respect to these, in this order.
        x: Inputs ``(n, ...)``.
        seeds: ``(k, n, ...)``.

    Returns:
        ``(k, n, d)``, flattened as :func:`sciml.influence.flat.flatten` does.
    """
    size = sum(p.numel() for p in params.values())
    chunk = max(1, NUMBERS // max(1, len(seeds) * size))

    def one(x: Tensor, seeds: Tensor) -> Tensor:
        back = torch.func.vjp(lambda p: call(p, x[None])[0], params)[1]
        gradients: Params = torch.func.vmap(lambda seed: back(seed)[0])(seeds)
        return torch.cat([gradients[name].flatten(1) for name in params], dim=1)

    try:
        with warnings.catch_warnings():
            # Operations without a rule for batches run one by one: slower, not wrong.
            warnings.filterwarnings("ignore", message="There is a performance drop")
            return torch.func.vmap(one, in_dims=(0, 1), out_dims=1, chunk_size=chunk)(x, seeds)
    except RuntimeError:  # a function that cannot be mapped at all, such as an LSTM cell
        return _one_by_one(call, params, x, seeds)


def _one_by_one(call: Callable[[Params, Tensor], Tensor], params: Params, x: Tensor, seeds: Tensor) -> Tensor:
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    rows: list[Tensor] = []
    with torch.enable_grad():
        for i in range(len(x)):
            z = call(leaves, x[i : i + 1])
            for seed in seeds[:, i : i + 1]:
                found = torch.autograd.grad(z, list(leaves.values()), seed, retain_graph=True, allow_unused=True)
                filled = [torch.zeros_like(p) if g is None else g for g, p in zip(found, leaves.values(), strict=True)]
                rows.append(torch.cat([g.flatten() for g in filled]))
    return torch.stack(rows).reshape(len(x), len(seeds), -1).movedim(0, 1)
