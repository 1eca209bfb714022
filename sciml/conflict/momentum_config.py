r"""M-ConFIG: ConFIG of a momentum for each loss, of which a step renews one, at one backward pass a step.

With :math:`\mathcal G` the ConFIG direction, i the loss that is due, :math:`t_i` how often it was, and t the number of
steps since all were:

.. math::
    m_i &\leftarrow \beta_1 m_i + (1 - \beta_1) g_i, \qquad
    g_c = \mathcal G\left(\frac{m_1}{1 - \beta_1^{t_1}}, \dots, \frac{m_k}{1 - \beta_1^{t_k}}\right), \\
    m_c &\leftarrow (1 - \beta_1^t) g_c, \qquad
    v \leftarrow \beta_2 v + (1 - \beta_2) \left(\frac{m_c - \beta_1 m_c^{\text{before}}}{1 - \beta_1}\right)^2, \qquad
    d = \frac{g_c}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}.

Source: Liu, Chu and Thuerey, ICLR 2025 (arXiv 2408.11104), algorithm 1; authors' code
``conflictfree.momentum_operator.PseudoMomentumOperator``, which says what the paper leaves open: nothing moves until
every loss has had its first turn. The second moment makes this an optimiser of its own: the one behind it should be
plain gradient descent, ``optimizer=sgd optimizer.momentum=0``.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sciml.conflict.base import Direction
from sciml.conflict.config import conflict_free
from sciml.conflict.groups import Groups
from sciml.ranges import Count, Momentum, NonNegative


class MomentumConFIG(Direction):
    """ConFIG of momenta.

    Args:
        beta1: Decay β_1 of the momenta.
        beta2: Decay β_2 of the second moment.
        eps: ε.
        updates: Momenta that a step renews, one after the other in turn.
        groups: See :class:`~sciml.conflict.base.Direction`.
    """

    momenta: Tensor
    turns: Tensor
    steps: Tensor
    combined: Tensor
    second: Tensor

    def __init__(
        self,
        *,
        beta1: Momentum = 0.9,
        beta2: Momentum = 0.999,
        eps: NonNegative = 1e-8,
        updates: Count = 1,
        groups: Groups | None = None,
    ) -> None:
        super().__init__(groups=groups)
        self.beta1, self.beta2, self.eps, self.updates = beta1, beta2, eps, updates

    def prepare(self, names: Sequence[str], parameters: Sequence[nn.Parameter]) -> None:
        self.names = tuple(names)
        flat = torch.cat([p.detach().reshape(-1) for p in parameters])
        self.register_buffer("momenta", flat.new_zeros(len(names), len(flat)))
        self.register_buffer("turns", torch.zeros(len(names), dtype=torch.float64, device=flat.device))
        self.register_buffer("steps", torch.zeros((), dtype=torch.float64, device=flat.device))
        self.register_buffer("combined", torch.zeros_like(flat))
        self.register_buffer("second", torch.zeros_like(flat))

    def due(self, step: int, names: Sequence[str]) -> tuple[str, ...]:
        count = min(self.updates, len(names))
        turn = {(step * count + i) % len(names) for i in range(count)}
        return tuple(name for i, name in enumerate(names) if i in turn)

    def forward(self, gradients: dict[str, Tensor]) -> Tensor:
        for name, gradient in gradients.items():
            i = self.names.index(name)
            self.momenta[i] = self.beta1 * self.momenta[i] + (1 - self.beta1) * gradient
            self.turns[i] += 1
        # Written without branches on what is stored, so that a GPU is not waited for.
        ready = (self.turns > 0).all()
        self.steps += ready
        lack1, lack2 = (1 - beta ** self.steps.clamp(min=1) for beta in (self.beta1, self.beta2))
        unbiased = self.momenta / (1 - self.beta1 ** self.turns.clamp(min=1)).to(self.momenta).unsqueeze(1)
        direction = conflict_free(unbiased)
        combined = direction * lack1.to(direction)
        pseudo = (combined - self.beta1 * self.combined) / (1 - self.beta1)
        second = self.beta2 * self.second + (1 - self.beta2) * pseudo**2
        self.combined.copy_(torch.where(ready, combined, self.combined))
        self.second.copy_(torch.where(ready, second, self.second))
        scaled = direction / ((self.second / lack2.to(direction)).sqrt() + self.eps)
        return torch.where(ready, scaled, torch.zeros_like(scaled))
