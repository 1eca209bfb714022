r"""Neural tangent kernel: weights that make all terms converge at the same mean rate.

.. math::
    \hat\lambda_c = \frac{\frac1m \sum_j \kappa_j}{\kappa_c}, \qquad
    \kappa_c = \frac1{N_c} \operatorname{tr} K_{cc} = \frac1{N_c} \sum_{i=1}^{N_c} |\nabla_\theta r_{ci}|^2

as a running average. Source: Wang, Yu and Perdikaris, "When and why PINNs fail to train: a neural tangent kernel
perspective", Journal of Computational Physics 449 (2022) (arXiv 2007.14527), algorithm 1, equations (6.5) and (6.6),
whose weights are the trace of the whole kernel over that of each block; with mean squared residuals it is traces over
numbers of points that say how fast a term decays, and the mean over terms keeps the weights about 1, both as in the
later code of the same group (jaxpi, ``compute_weights``).

The traces are exact: sums of squares of the Jacobian of all residuals, from one backward pass
(:mod:`sciml.jacobian`), which needs memory for as many numbers as there are residuals times parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.jacobian import Rows
from sciml.pinn.weighting.adaptive import Adaptive, balanced


class NTK(Adaptive):
    """Equal traces of the tangent kernel. Takes the arguments of :class:`Adaptive`."""

    def measure(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> tuple[Tensor, int]:
        shapes: list[tuple[int, int]] = []  # points and components

        def parts() -> list[Tensor]:
            found = residuals()
            shapes[:] = [(len(found[name]), found[name].numel() // len(found[name])) for name in self.conditions]
            return [found[name] for name in self.conditions]

        _, jacobian = Rows(parts, parameters)()
        squares = torch.linalg.vector_norm(jacobian, dim=1).square()
        blocks = squares.split([points * components for points, components in shapes])
        traces = [block.sum() / points for block, (points, _) in zip(blocks, shapes, strict=True)]
        # One for each component, and one with which the Jacobian is checked.
        return balanced(torch.stack(traces)), sum(components for _, components in shapes) + 1
