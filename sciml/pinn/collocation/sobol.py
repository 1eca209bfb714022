"""Sobol points, scrambled: a digital net in base 2.

Source: Sobol, "On the distribution of points in a cube and the approximate evaluation of integrals", USSR Computational
Mathematics and Mathematical Physics 7 (1967), doi:10.1016/0041-5553(67)90144-9. The net is torch's, with Joe and Kuo's
direction numbers and Matoušek's linear scramble; its balance properties hold for powers of two. It is made on the
CPU.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from sciml.pinn.collocation.low_discrepancy import LowDiscrepancy
from sciml.ranges import Count


class Sobol(LowDiscrepancy):
    """A scrambled Sobol sequence, from its beginning.

    Args:
        every: Steps from one scramble to the next; None keeps the first.
    """

    def __init__(self, *, every: Count | None = None) -> None:
        super().__init__(every=every)

    def unit(self, n: int, d: int, generator: Generator) -> Tensor:
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        return SobolEngine(d, scramble=True, seed=seed).draw(n, dtype=torch.float64)
