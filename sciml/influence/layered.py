r"""The generalised Gauss-Newton matrix (GGN) of a network of layers, summed up without its rows.

A row of it, for an example i and a seed k (:mod:`sciml.influence.curvature`), is an outer product in each layer, of an
output gradient and an input. So the block for output o of layer l and output p of layer m is

.. math:: \sum_i \Big(\sum_k g^l_{kio}\,g^m_{kip}\Big)\,a^l_i (a^m_i)^T:

the seeds are summed before the products of inputs, which a sum over rows, one for each seed, would repeat for all of
them. For a softmax over ten classes that is a tenth of the work.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sciml.influence.base import NetworkTask, Params, Task
from sciml.influence.capture import Capture, Record
from sciml.influence.flat import double

BATCH = 512  # examples at one time


def layered(task: Task, params: Params) -> Tensor | None:
    """The matrix ``(d, d)`` in float64, the parameters in the order of :func:`sciml.influence.flat.flatten`.

    None where this is no way to it, or no shorter one: it has fewer rows than columns, examples have several tokens, or
    a parameter belongs to no layer that :class:`sciml.influence.capture.Capture` sees.
    """
    if not isinstance(task, NetworkTask) or task.mask is not None:
        return None
    with torch.no_grad():
        outputs = task.outputs(params, task.x[:1])
    size = sum(p.numel() for p in params.values())
    if outputs.dim() != 2 or len(task.likelihood.factors(outputs)) * task.n_train <= size:
        return None
    precise = copy.deepcopy(task).double()
    precise.x = double(task.x)
    capture = Capture(precise, {name: p.double() for name, p in params.items()})
    if capture.rest:
        return None
    places = capture.blocks(torch.arange(size, device=outputs.device)[None])
    total = torch.zeros(size, size, dtype=torch.float64, device=outputs.device)
    for x in precise.x.split(BATCH):
        records = capture(x, task.likelihood.factors)
        if any(record.inputs.shape[1] > 1 for record in records.values()):
            return None
        _add(total, [records[name] for name in places])
    here = torch.cat([place.flatten() for place in places.values()]).argsort()
    return (total.triu() + total.triu(1).T)[here][:, here]


def _add(total: Tensor, records: list[Record]) -> None:
    """One batch: the blocks on and above the diagonal, layer by layer and output by output."""
    first = 0
    for i, record in enumerate(records):
        inputs = record.inputs[:, 0]
        for o, grads in enumerate(record.grads[:, :, 0].unbind(-1)):
            parts: list[Tensor] = []
            for other in records[i:]:
                against = other.grads[:, :, 0, o if other is record else 0 :]
                joint = torch.einsum("kn,knp->np", grads, against)
                parts.append((joint[:, :, None] * other.inputs).flatten(1))
            total[first : first + inputs.shape[1], first:] += inputs.T @ torch.cat(parts, dim=1)
            first += inputs.shape[1]
