"""Groups of loss terms: each counts as one loss, with the gradient of the sum of its terms."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.conflict.base import put_direction
from sciml.conflict.config import ConFIG, conflict_free
from sciml.conflict.momentum_config import MomentumConFIG
from sciml.errors import ConfigError

NAMES = ("residual", "initial", "boundary")
SLOPES = torch.tensor([[1.0, 2, -1], [-2, 1, 3], [0.5, -1, 2]], dtype=torch.float64)


def terms(p: Tensor) -> dict[str, Tensor]:
    return dict(zip(NAMES, SLOPES @ p, strict=True))


def test_a_group_has_the_gradient_of_its_sum() -> None:
    p = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    assert put_direction(ConFIG(groups=[["initial", "boundary"]]), terms(p), [p], step=0) == 2
    assert p.grad is not None
    torch.testing.assert_close(p.grad, conflict_free(torch.stack([SLOPES[1] + SLOPES[2], SLOPES[0]])))


def test_a_group_has_one_turn() -> None:
    p = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    rule = MomentumConFIG(groups=[["residual"]])
    losses = rule.losses(NAMES)
    assert losses == {"residual": ("residual",), "initial + boundary": ("initial", "boundary")}
    rule.prepare([*losses], [p])
    assert [put_direction(rule, terms(p), [p], step=step) for step in range(2)] == [1, 1]
    torch.testing.assert_close(rule.momenta, 0.1 * torch.stack([SLOPES[0], SLOPES[1] + SLOPES[2]]))


def test_a_term_that_does_not_exist() -> None:
    with pytest.raises(ConfigError, match=r"pinn\.weighting\.groups: the loss has no term 'pde'; it has residual, "):
        ConFIG(groups=[["pde"]]).losses(NAMES)
