r"""Influence with an inverse by a stochastic Neumann series.

.. math:: x_0 = 0, \qquad x_{j+1} = x_j + \tfrac{1}{\sigma}\Big(\nabla m_q - \big(\tfrac{n}{|B_j|}
          \text{GGN}_{B_j} + (\lambda + \delta) I\big)\,x_j\Big),

over random batches :math:`B_j` of training examples; :math:`x_\infty` is the solution where :math:`\sigma` exceeds half
the largest eigenvalue. Agarwal, Bullins and Hazan (2017), *Second-Order Stochastic Optimization for Machine Learning in
Linear Time*, section 3, in the form of Koh and Liang (2017), section 3. Deviations: the GGN for the Hessian, whose
negative eigenvalues the series does not survive; :math:`\sigma` is found by power iteration where none is given; the
mean over several series is taken of their last points.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import stream
from sciml.errors import RunError
from sciml.influence.base import Attributor, NetworkTask, Params, Task
from sciml.influence.ggn_product import Product, batch_product, mean_eigenvalue, product
from sciml.ranges import Count, NonNegative


@final
class LiSSA(Attributor):
    r"""For comparison: conjugate gradients reach the same in fewer products.

    Args:
        damping: :math:`\delta` in units of the mean eigenvalue, over all parameters.
        depth: Terms of a series.
        batch_size: Examples of a term; 0 takes all of them.
        repeats: Series that are averaged.
        scale: :math:`\sigma`; 0 takes 1.5 times the largest eigenvalue.
        probes: Random vectors for the mean eigenvalue.
    """

    def __init__(
        self,
        *,
        damping: NonNegative = 0.1,
        depth: Count = 1000,
        batch_size: Count = 64,
        repeats: Count = 1,
        scale: NonNegative = 0.0,
        probes: Count = 64,
    ) -> None:
        self.damping, self.depth, self.batch_size = damping, depth, batch_size
        self.repeats, self.scale, self.probes = repeats, scale, probes

    def __call__(self, task: Task, params: Params) -> Tensor:
        query = task.query_gradients(params)
        whole, generator = product(task, params), stream("lissa")
        vectors = torch.randn(self.probes, query.shape[1], generator=generator, dtype=torch.float64).to(query)
        added = task.decay + self.damping * mean_eigenvalue(whole, query.shape[1], vectors)
        scale = self.scale or 1.5 * (_largest(whole, vectors[:1]) + added)
        total = torch.zeros_like(query)
        for _ in range(self.repeats):
            x = torch.zeros_like(query)
            for _ in range(self.depth):
                x = x + (query - self._term(task, params, whole, generator)(x) - added * x) / scale
            total += x
        if not bool(total.isfinite().all()) or float(total.norm()) > 1e3 * float(query.norm()) / max(added, 1e-300):
            raise RunError(
                f"attributor lissa: the series diverges at scale {scale:.3g}; raise influence.attributor.scale or"
                " batch_size"
            )
        return task.against_gradients(params, total / self.repeats)

    def _term(self, task: Task, params: Params, whole: Product, generator: Generator) -> Product:
        if not (isinstance(task, NetworkTask) and task.forward_mode) or not 0 < self.batch_size < task.n_train:
            return whole
        chosen = torch.randperm(task.n_train, generator=generator)[: self.batch_size]
        part = batch_product(task, params, chosen)
        return lambda v: part(v) * (task.n_train / len(chosen))


def _largest(apply: Product, start: Tensor, steps: int = 30) -> float:
    """Largest eigenvalue by power iteration, from below."""
    v, value = start / start.norm(), 0.0
    for _ in range(steps):
        v = apply(v)
        value = float(v.norm())
        if value == 0:
            break
        v = v / value
    return value
