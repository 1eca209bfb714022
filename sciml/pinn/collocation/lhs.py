"""Latin hypercube: along each input, one point in each of n strips of equal width.

    x_ij = (π_j(i) + u_ij) / n,   π_j a random permutation of 0, ..., n − 1,   u_ij uniform in [0, 1)

Source: McKay, Beckman and Conover, "A comparison of three methods for selecting values of input variables in the
analysis of output from a computer code", Technometrics 21 (1979), doi:10.2307/1268522.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.pinn.collocation.low_discrepancy import LowDiscrepancy
from sciml.ranges import Count


class LatinHypercube(LowDiscrepancy):
    """A Latin hypercube.

    Args:
        every: Steps from one draw of all points to the next; None keeps the first.
    """

    def __init__(self, *, every: Count | None = 1) -> None:
        super().__init__(every=every)

    def unit(self, n: int, d: int, generator: Generator) -> Tensor:
        device = generator.device
        strips = torch.stack([torch.randperm(n, generator=generator, device=device) for _ in range(d)], dim=1)
        within = torch.rand(n, d, generator=generator, dtype=torch.float64, device=device)
        return (strips + within) / n
