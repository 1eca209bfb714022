from __future__ import annotations

from itertools import product

import pytest
import torch

from sciml.data.dihedral import ELEMENTS, dihedral, image, inverse


def test_the_eight_changes_are_the_symmetries_of_the_square() -> None:
    x, y = torch.meshgrid(torch.arange(4.0) - 1.5, torch.arange(4.0) - 1.5, indexing="ij")
    u = (x + 0.3 * y + 0.01 * x * y**2)[None, :, :, None]
    seen = {
        tuple(dihedral(u, torch.tensor([c]), closed=False).flatten().tolist()) for c in product((False, True), repeat=3)
    }
    turns = [torch.rot90(v, k, (1, 2)) for v in (u, u.flip(1)) for k in range(4)]
    assert seen == {tuple(turn.flatten().tolist()) for turn in turns}


def test_each_field_has_its_own_change_and_all_its_channels_have_the_same() -> None:
    u = torch.randn(3, 5, 5, 2, generator=torch.Generator().manual_seed(0))
    chosen = torch.tensor([[False, False, False], [True, False, True], [False, True, False]])
    found = dihedral(u, chosen, closed=False)
    torch.testing.assert_close(found[0], u[0])
    torch.testing.assert_close(found[1], u[1].flip(0).transpose(0, 1))
    torch.testing.assert_close(found[2], u[2].flip(1))


def test_a_reflection_of_a_circle_keeps_its_first_point() -> None:
    u = torch.randn(1, 6, 6, 1, generator=torch.Generator().manual_seed(0))
    found = dihedral(u, torch.tensor([[True, False, False]]), closed=True)
    torch.testing.assert_close(found[0, 0], u[0, 0])
    torch.testing.assert_close(found[0, 1], u[0, 5])


@pytest.mark.parametrize("closed", [False, True])
def test_an_image_is_the_change_of_all_alike_and_can_be_undone(closed: bool) -> None:
    u = torch.randn(2, 3, 5, 5, 1, generator=torch.Generator().manual_seed(0))
    assert len(set(ELEMENTS)) == 8
    for element in ELEMENTS:
        found = image(u, element, closed=closed)
        assert torch.equal(found, dihedral(u, torch.tensor([element, element]), closed=closed))
        assert torch.equal(image(found, inverse(element), closed=closed), u)
