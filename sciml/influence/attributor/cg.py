r"""Influence with the exact generalised Gauss-Newton matrix (GGN), solved by conjugate gradients.

.. math:: I_{qi} = x_q^T \nabla\ell_i, \qquad (\text{GGN} + (\lambda + \delta) I)\,x_q = \nabla m_q,

Koh and Liang (2017), *Understanding Black-box Predictions via Influence Functions*, section 3, with the GGN for the
Hessian. Hestenes and Stiefel (1952), all queries at once; a query that has reached the tolerance stays. Only products
with the matrix are needed (:mod:`sciml.influence.ggn_product`), and of a network the gradients of some examples at a
time: what takes memory are some vectors of the size of the parameters for each query. What takes time is the number of
products, for which :mod:`sciml.influence.attributor.ggn` is quicker as long as its matrix fits.
"""

from __future__ import annotations

import logging
from typing import final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.errors import RunError
from sciml.influence.base import Params, Task
from sciml.influence.damped import Damped
from sciml.influence.ggn_product import Product, mean_eigenvalue, product
from sciml.ranges import Count, NonNegative, Positive

log = logging.getLogger("sciml")


@final
class CG(Damped):
    r"""Matrix-free; agrees with :mod:`sciml.influence.attributor.ggn` at the end.

    Args:
        damping: :math:`\delta` in units of the mean eigenvalue, over all parameters.
        tolerance: Norm of the residual by that of the gradient, at which a query stops.
        max_steps: Steps at most; a warning tells what residual is left.
        probes: Random vectors for the mean eigenvalue.
    """

    def __init__(
        self, *, damping: NonNegative = 0.1, tolerance: Positive = 1e-6, max_steps: Count = 200, probes: Count = 64
    ) -> None:
        super().__init__(damping=damping)
        self.tolerance, self.max_steps, self.probes = tolerance, max_steps, probes

    def __call__(self, task: Task, params: Params) -> Tensor:
        query = task.query_gradients(params)
        apply = product(task, params)
        generator = stream("mean eigenvalue")
        vectors = torch.randn(self.probes, query.shape[1], generator=generator, dtype=torch.float64).to(query)
        added = self.added(task, mean_eigenvalue(apply, query.shape[1], vectors))
        solved, residual = self.solve(lambda v: apply(v) + added * v, query)
        if residual > self.tolerance:
            log.warning(
                "attributor cg: relative residual %.1e after %d steps, wanted %.1e; raise"
                " influence.attributor.max_steps or damping",
                residual,
                self.max_steps,
                self.tolerance,
            )
        return task.against_gradients(params, solved)

    def solve(self, apply: Product, b: Tensor) -> tuple[Tensor, float]:
        """Solutions ``(k, d)`` for right-hand sides ``(k, d)``, and the largest relative residual.

        Raises:
            RunError: The matrix is not positive along a direction.
        """
        x, r = torch.zeros_like(b), b.clone()
        p, rr = r.clone(), r.square().sum(1)
        target = self.tolerance**2 * rr
        for _ in range(self.max_steps):
            going = rr > target
            if not bool(going.any()):
                break
            ap = apply(p[going])
            curvature = (p[going] * ap).sum(1)
            if not bool((curvature > 0).all()):
                raise RunError("attributor cg: the damped matrix is not positive; raise influence.attributor.damping")
            alpha = (rr[going] / curvature)[:, None]
            x[going] += alpha * p[going]
            r[going] -= alpha * ap
            new = r[going].square().sum(1)
            p[going] = r[going] + (new / rr[going])[:, None] * p[going]
            rr[going] = new
        start = b.square().sum(1).clamp(min=torch.finfo(b.dtype).tiny)
        return x, float((rr / start).max().sqrt())
