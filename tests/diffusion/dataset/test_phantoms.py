from __future__ import annotations

import torch
from refusals import accepted

from sciml.data.ellipses import Ellipses, pixels
from sciml.diffusion.dataset.phantoms import Phantoms


def test_phantoms_are_sums_of_their_ellipses_within_the_unit_interval_and_the_unit_disc() -> None:
    phantoms = Phantoms(points=32, n_train=1, n_val=70, n_test=1)
    images = phantoms.splits()["val"]
    assert images.shape == (70, 32, 32, 1)
    assert images.dtype == torch.float32
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.amax((1, 2, 3)).std() > 0.05  # not all alike
    ellipses = phantoms.ellipses("val")
    rendered = sum(pixels(Ellipses(*(part[:, i] for part in ellipses)), 32) for i in range(9))
    torch.testing.assert_close(rendered, images[..., 0], rtol=0, atol=1e-5)
    reach = torch.maximum(ellipses.a, ellipses.b) + (ellipses.x**2 + ellipses.y**2).sqrt()
    assert reach[ellipses.value != 0].max() < 1
    assert 4 < (ellipses.value != 0).sum(1).double().mean() < 8


def test_splits_differ_and_do_not_depend_on_how_many_are_asked_for() -> None:
    few = Phantoms(points=8, n_train=3, n_val=2, n_test=2).splits()
    more = Phantoms(points=8, n_train=80, n_val=2, n_test=2).splits()
    assert torch.equal(few["train"], more["train"][:3])
    everything = torch.cat(list(more.values())).flatten(1)
    assert len(everything.unique(dim=0)) == 84
    other = Phantoms(points=8, n_train=3, n_val=2, n_test=2, seed=1).splits()
    assert not torch.equal(few["train"], other["train"])


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Phantoms, points=1, inner=-1, n_val=0) == {}
