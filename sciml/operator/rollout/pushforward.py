r"""The pushforward trick: the last step starts from what the network itself predicted, without a gradient.

Brandstetter, Worrall and Welling (2022), *Message Passing Neural PDE Solvers*, section 3.1, eq. 7: the loss is
:math:`L(G(u^k + \varepsilon), u^{k+1})` with :math:`\varepsilon` the error of the network's own prediction of
:math:`u^k`, and gradients stop before the last step. Deviation: their authors add the one-step loss and draw the
number of steps; here the one-step loss is added (``one_step``), and the number of steps is that of the targets.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.operator.base import FieldMap, Rollout, feed


@final
class Pushforward(Rollout):
    """Unrolls the targets' states, learns from the last one.

    Args:
        one_step: Learn from the first as well.
    """

    def __init__(self, *, one_step: bool = True) -> None:
        self.one_step = one_step

    def train(self, network: FieldMap, u0: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        steps = target.shape[1]
        window = u0
        with torch.no_grad():
            for _ in range(steps - 1):
                window = feed(window, network(window))
        if not self.one_step or steps == 1:
            return network(window)[:, None], target[:, -1:]
        both = network(torch.cat([u0, window]))
        return torch.stack(both.chunk(2), dim=1), torch.stack([target[:, 0], target[:, -1]], dim=1)
