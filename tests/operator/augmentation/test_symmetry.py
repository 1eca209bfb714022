from __future__ import annotations

from itertools import product

import pytest
import torch

from sciml.errors import ConfigError
from sciml.operator.augmentation.symmetry import D4, Shift
from sciml.operator.base import FieldMap, Fields


def laplacian(u: torch.Tensor, closed: bool) -> torch.Tensor:
    """Of (n, rows, columns, 1); outside of a box that does not close the field is zero."""
    if not closed:
        u = torch.nn.functional.pad(u, (0, 0, 1, 1, 1, 1))
    total = sum(u.roll(shift, axis) for shift in (1, -1) for axis in (1, 2)) - 4 * u
    return total if closed else total[:, 1:-1, 1:-1]


@pytest.mark.parametrize("closed", [True, False])
def test_all_eight_symmetries_occur_and_commute_with_the_laplacian(closed: bool) -> None:
    torch.manual_seed(0)
    u = torch.randn(1, 6, 6, 1, dtype=torch.float64).expand(64, -1, -1, -1)
    fields = Fields(u, laplacian(u, closed)[:, None])
    moved = D4((closed, closed))(fields, torch.rand(64, 3))
    torch.testing.assert_close(laplacian(moved.input, closed), moved.target[:, 0])
    assert len(moved.input.flatten(1).unique(dim=0)) == 8
    if closed:  # the point 0 stays where it is
        assert (moved.input[:, 0, 0] == u[:, 0, 0]).all()


@pytest.mark.parametrize("closed", [True, False])
def test_averaged_predictions_have_the_symmetry_and_are_those_of_a_network_that_has_it(closed: bool) -> None:
    torch.manual_seed(0)
    symmetry, u = D4((closed, closed), average=True), torch.randn(2, 5, 5, 1, dtype=torch.float64)
    weight = torch.randn(5, 5, 1, dtype=torch.float64)
    predict = symmetry.averaged(lambda: lambda v: v.cumsum(1) * weight)
    images = [symmetry(Fields(u, u[:, None]), torch.tensor([bits] * 2)).input for bits in product((0.1, 0.9), repeat=3)]
    for bits, image in zip(product((0.1, 0.9), repeat=3), images, strict=True):
        expected = symmetry(Fields(predict(u), u[:, None]), torch.tensor([bits] * 2)).input
        torch.testing.assert_close(predict(image), expected)
    assert (predict(u) - u.cumsum(1) * weight).abs().max() > 0.1
    same = symmetry.averaged(lambda: lambda v: v**2)
    torch.testing.assert_close(same(u), u**2)


def test_every_element_has_a_predictor_of_its_own_that_may_remember() -> None:
    def start() -> FieldMap:
        states: list[torch.Tensor] = []

        def advance(u: torch.Tensor) -> torch.Tensor:
            states.append(u)
            return sum(states, torch.zeros_like(u))

        return advance

    u = torch.randn(2, 4, 4, 1)
    for symmetry in (D4((True, True), average=True), D4((True, True)), Shift((True, True))):
        predict = symmetry.averaged(start)
        torch.testing.assert_close(predict(u), u)
        torch.testing.assert_close(predict(2 * u), 3 * u)
    with pytest.raises(ConfigError, match="square grid"):
        D4((True, True), average=True).averaged(start)(torch.zeros(1, 4, 5, 1))


def test_every_shift_occurs_and_input_and_target_move_together() -> None:
    torch.manual_seed(0)
    u = torch.arange(5.0).expand(200, 5)[..., None]
    moved = Shift((True,))(Fields(u, torch.stack([u, u * 2], dim=1)), torch.rand(200, 3))
    assert torch.equal(moved.target, torch.stack([moved.input, moved.input * 2], dim=1))
    assert len(moved.input.flatten(1).unique(dim=0)) == 5
    assert moved.input[:, :, 0].diff(dim=1).remainder(5).unique().tolist() == [1.0]
    two = torch.randn(3, 4, 6, 2)
    by = torch.tensor([[0.3, 0.9, 0.0]]).expand(3, -1)
    both = Shift((True, True))(Fields(two, two[:, None]), by)
    assert torch.equal(both.input, two.roll((1, 5), (1, 2)))
    held = Shift((False, True))(Fields(two, two[:, None]), by)
    assert torch.equal(held.input, two.roll(5, 2))


def test_a_grid_without_the_symmetry_is_refused() -> None:
    with pytest.raises(ConfigError, match="two alike axes"):
        D4((True,))
    with pytest.raises(ConfigError, match="square grid"):
        D4((True, True))(Fields(torch.zeros(1, 4, 5, 1), torch.zeros(1, 1, 4, 5, 1)), torch.rand(1, 3))
    with pytest.raises(ConfigError, match="a periodic axis"):
        Shift((False, False))
