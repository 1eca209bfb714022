"""ConFIG against its closed form for two losses, what it promises for any number, and least squares."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from sciml.conflict.config import ConFIG, conflict_free


def gradients(m: int, p: int = 40, seed: int = 0) -> Tensor:
    """Of very different lengths, most pairs of them in conflict."""
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(p, generator=generator, dtype=torch.float64)
    signs = torch.tensor([1.0, -1.0] * m, dtype=torch.float64)[:m, None]
    own = torch.randn(m, p, generator=generator, dtype=torch.float64)
    return (own + 1.5 * signs * shared) * 10.0 ** torch.arange(m)[:, None]


def unit(v: Tensor) -> Tensor:
    return v / v.norm()


def test_two_losses_have_a_closed_form() -> None:
    """Section 3.1 of the paper: the mean of the two unit vectors that are orthogonal to one gradient each."""
    one, two = gradients(2)
    assert torch.dot(one, two) < 0
    orthogonal = two - torch.dot(one, two) / torch.dot(one, one) * one, one - torch.dot(one, two) / two.dot(two) * two
    direction = unit(unit(orthogonal[0]) + unit(orthogonal[1]))
    expected = (torch.dot(one, direction) + torch.dot(two, direction)) * direction
    torch.testing.assert_close(ConFIG()({"a": one, "b": two}), expected)


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_all_angles_are_equal_and_acute(m: int) -> None:
    g = gradients(m)
    direction = conflict_free(g)
    angles = cosine_similarity(g, direction[None])
    torch.testing.assert_close(angles, angles[:1].expand(m), rtol=1e-9, atol=1e-12)
    assert angles[0] > 0.01
    # As long as the gradients reach along it.
    torch.testing.assert_close(direction.norm(), (g @ unit(direction)).sum())


def test_equals_least_squares() -> None:
    g = gradients(3)
    solution = torch.linalg.lstsq(g / g.norm(dim=1, keepdim=True), torch.ones(3, dtype=torch.float64), driver="gelsd")
    expected = unit(solution.solution)
    torch.testing.assert_close(unit(conflict_free(g)), expected)


def test_one_loss_is_its_gradient() -> None:
    (g,) = gradients(1)
    torch.testing.assert_close(conflict_free(g[None]), g)


def test_a_loss_without_gradient_is_left_out() -> None:
    g = gradients(3)
    g[1] = 0
    torch.testing.assert_close(conflict_free(g), conflict_free(g[[0, 2]]))


def test_gradients_that_cancel_leave_nothing() -> None:
    (g,) = gradients(1)
    assert conflict_free(torch.stack([g, -3 * g])).abs().max() < 1e-12 * g.norm()
