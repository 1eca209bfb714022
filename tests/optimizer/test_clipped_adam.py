from __future__ import annotations

import torch
from refusals import accepted
from torch import nn

from sciml.optimizer.clipped_adam import ClippedAdam


def test_steps_are_adams_on_gradients_cut_together() -> None:
    x, y = nn.Parameter(torch.tensor([3.0, 0.0])), nn.Parameter(torch.tensor(4.0))
    a, b = nn.Parameter(x.detach().clone()), nn.Parameter(y.detach().clone())
    clipped = ClippedAdam([{"params": [x]}, {"params": [y]}], lr=0.1, weight_decay=0.2, max_norm=2.0)
    plain = torch.optim.AdamW([a, b], lr=0.1, weight_decay=0.2)
    for scale in (1.0, 0.1, 100.0):  # norms of 5, 0.5 and 500
        x.grad, y.grad = scale * torch.tensor([3.0, 0.0]), scale * torch.tensor(4.0)
        factor = min(1.0, 2.0 / (5.0 * scale))
        a.grad, b.grad = factor * x.grad, factor * y.grad
        clipped.step()
        plain.step()
        torch.testing.assert_close((x, y), (a, b))


def test_the_gradient_of_a_closure_is_cut_too() -> None:
    x = nn.Parameter(torch.tensor([1e3]))
    optimizer = ClippedAdam([x], lr=0.1, max_norm=1.0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) == 1e6
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([1.0]))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(ClippedAdam, max_norm=0) == {}
