r"""Cross-entropy: the negative log-likelihood of a class, or of one class for each token.

.. math:: \ell(z, y) = -\log p_y, \quad p = \mathrm{softmax}(z), \qquad \nabla_z\ell = p - e_y, \qquad
          \nabla_z^2\ell = \mathrm{diag}(p) - pp^T = \sum_c p_c\,(e_c - p)(e_c - p)^T,

in nats. Tokens of an example are summed, never averaged; a token with the target -100 has no loss.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor, nn

from sciml.influence.base import Likelihood

IGNORED = -100  # the target of a token without loss


@final
class Softmax(Likelihood):
    """Outputs ``(n, ..., C)`` are logits, targets ``(n, ...)`` are classes."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        logits = outputs.movedim(-1, 1)
        losses = nn.functional.cross_entropy(logits, targets.long(), reduction="none", ignore_index=IGNORED)
        return losses.reshape(len(outputs), -1).sum(1)

    def factors(self, outputs: Tensor) -> Tensor:
        p = outputs.softmax(-1)
        n, classes = len(p), p.shape[-1]
        tokens = p[0].numel() // classes
        # Tokens do not curve each other: a column belongs to one token, and is zero at all others.
        p = p.reshape(n, tokens, classes)
        columns = p.sqrt()[..., None] * (torch.eye(classes).to(p) - p[:, :, None, :])  # (n, tokens, column, class)
        apart = torch.eye(tokens).to(p)
        full = torch.einsum("ntkc,ts->tknsc", columns, apart)
        return full.reshape(tokens * classes, *outputs.shape)

    def sample(self, outputs: Tensor, k: int, generator: Generator) -> Tensor:
        p = outputs.softmax(-1)
        flat = p.reshape(-1, p.shape[-1]).cpu()
        # Drawn on the CPU, where the generator lives, so that every device sees the same classes.
        classes = torch.multinomial(flat, k, replacement=True, generator=generator).T.to(p.device)
        drawn = nn.functional.one_hot(classes, p.shape[-1]).to(p)
        return p - drawn.reshape(k, *p.shape)
