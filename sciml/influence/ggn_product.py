r"""Products of the generalised Gauss-Newton matrix (GGN) with vectors, without the matrix or its rows.

.. math:: v \mapsto \sum_i w_i\,J_i^T (\nabla_z^2\ell_i) J_i\,v,

a forward derivative, the curvature in the outputs, a backward derivative: Schraudolph (2002), *Fast Curvature
Matrix-Vector Products for Second-Order Gradient Descent*, section 3. In float64. A task that is no network, or one that
has no forward derivative, has rows (:meth:`sciml.influence.base.Task.blocks`) and gets its products from them, or from
their sum where they are more than the parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sciml.influence.base import NetworkTask, Params, Task
from sciml.influence.flat import double, flatten, unflatten
from sciml.influence.rows import gathered

Product = Callable[[Tensor], Tensor]


def product(task: Task, params: Params) -> Product:
    """The GGN of the sum of all training losses, ``(k, d)`` to ``(k, d)``.

    Raises:
        RunError: The task has no such structure.
    """
    if isinstance(task, NetworkTask) and task.forward_mode:
        return batch_product(task, params, torch.arange(task.n_train))
    rows, moments = gathered(task.blocks(params), sum(p.numel() for p in params.values()))
    return (lambda v: (v @ rows.T) @ rows) if moments is None else (lambda v: v @ moments)


def batch_product(task: NetworkTask, params: Params, chosen: Tensor, chunk: int = 512) -> Product:
    """The same for the examples with the numbers ``chosen`` only."""
    precise = {name: p.detach().double() for name, p in params.items()}
    buffers = {name: double(b) for name, b in task.network.named_buffers()}
    theta = flatten(params)

    def one(part: Tensor, v: Tensor) -> Tensor:
        x = double(task.x[part])

        def outputs(theta: Tensor) -> Tensor:
            return task.outputs({**buffers, **unflatten(theta, precise)}, x)

        z, back = torch.func.vjp(outputs, theta)[:2]
        roots = task.likelihood.factors(z)  # (C, n, ...)

        def apply(v: Tensor) -> Tensor:
            moved = torch.func.jvp(outputs, (theta,), (v,))[1]
            along = (roots * moved).flatten(2).sum(2)
            return back((roots * along.reshape(*along.shape, *[1] * (z.dim() - 1))).sum(0))[0]

        return torch.func.vmap(apply, chunk_size=32)(v)

    return lambda v: torch.stack([one(part, v) for part in chosen.split(chunk)]).sum(0)


def mean_eigenvalue(apply: Product, size: int, probes: Tensor) -> float:
    r"""Trace by dimension: exact for a unit vector in each direction, else the mean of :math:`v^T G v/|v|^2`
    (Hutchinson 1990) over ``probes`` ``(k, d)``.
    """
    vectors = torch.eye(size, dtype=torch.float64) if size <= len(probes) else probes
    return float(((apply(vectors) * vectors).sum(1) / vectors.square().sum(1)).mean())
