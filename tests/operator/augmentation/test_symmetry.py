from __future__ import annotations

import pytest
import torch

from sciml.errors import ConfigError
from sciml.operator.augmentation.symmetry import D4, Shift
from sciml.operator.base import Fields


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
