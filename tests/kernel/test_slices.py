"""Fused attention among slices is the formula: values and gradients; and it declines what it cannot be."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from sciml.kernel import compiler
from sciml.kernel.fusing import fusing
from sciml.kernel.slices import WIDEST, _program, through_slices
from sciml.network.transolver import PhysicsAttention, Transolver

DOUBLE = torch.float64


def tensors(sizes: Sequence[int], dtype: torch.dtype = DOUBLE) -> list[Tensor]:
    """Projections, weights and biases, and a map among the slices."""
    n, points, heads, slices, d = sizes
    generator = torch.Generator().manual_seed(0)
    shapes = [(n, points, 2, heads, d), (heads, slices, d), (heads, slices), (slices, slices)]
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]


def by_formula(*given: Tensor) -> Tensor:
    projected, weights, biases, mix = given
    x, f = projected.permute(2, 0, 3, 1, 4)
    w = (torch.einsum("nhpd,hsd->nhps", x, weights) + biases[:, None]).softmax(-1)
    found = among(torch.einsum("nhps,nhpd->nhsd", w, f), w.sum(2), mix)
    return torch.einsum("nhps,nhsd->nphd", w, found)


def among(sums: Tensor, totals: Tensor, mix: Tensor) -> Tensor:
    return torch.tanh(mix @ (sums / (1 + totals)[..., None]))


def in_one(*given: Tensor) -> Tensor:
    projected, weights, biases, mix = given
    with fusing():
        found = through_slices(projected, weights, biases, lambda s, t: among(s, t, mix), [mix])
    assert found is not None
    return found


# Sizes that fill no block, no tile and no register; one point, one slice, one feature; several tiles.
@pytest.mark.parametrize(
    "sizes",
    [(1, 1, 1, 1, 1), (2, 5, 3, 4, 2), (2, 63, 1, 7, 3), (1, 64, 2, 32, 8), (3, 300, 2, 11, 5), (1, 130, 1, 64, 16)],
    ids=str,
)
def test_it_is_the_formula(sizes: tuple[int, ...]) -> None:
    given = tensors(sizes)
    slow, fast = by_formula(*given), in_one(*given)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-13)
    bar = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    expected = torch.autograd.grad(slow, given, bar)
    for mine, theirs in zip(torch.autograd.grad(fast, given, bar), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-11)


def test_single_precision_keeps_its_digits() -> None:
    given = tensors((2, 500, 4, 32, 8), torch.float32)
    exact = [a.detach().double().requires_grad_() for a in given]
    slow, fast = by_formula(*exact), in_one(*given)
    assert float((fast.detach().double() - slow.detach()).norm() / slow.detach().norm()) < 1e-6
    bar = torch.randn(slow.shape, dtype=DOUBLE)
    expected = torch.autograd.grad(slow, exact, bar)
    for mine, theirs in zip(torch.autograd.grad(fast, given, bar.float()), expected, strict=True):
        assert float((mine.double() - theirs).norm() / theirs.norm()) < 2e-6


def test_scores_may_be_large_and_a_run_that_diverges_is_not_hidden() -> None:
    projected, weights, biases, mix = tensors((1, 40, 1, 6, 2))
    large = (projected, 1e4 * weights, biases, mix)
    torch.testing.assert_close(in_one(*large), by_formula(*large))
    with torch.no_grad():
        projected[0, 3, 0] = math.nan
    assert in_one(projected, weights, biases, mix).isnan().all()


def test_two_threads_compute_what_one_does_and_the_same_every_time() -> None:
    given, threads, runs = tensors((3, 200, 3, 5, 4)), torch.get_num_threads(), []
    try:
        for n in (1, 2, 2):
            torch.set_num_threads(n)
            found = in_one(*given)
            runs.append([found.detach(), *torch.autograd.grad(found.square().sum(), given)])
    finally:
        torch.set_num_threads(threads)
    for one, two, again in zip(*runs, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(two, again)


@pytest.mark.parametrize("frozen", [(), (0,), (1, 2), (3,)], ids=str)
def test_what_wants_no_gradient_gets_none(frozen: tuple[int, ...]) -> None:
    given = tensors((2, 9, 2, 3, 2))
    for i in frozen:
        given[i].requires_grad_(False)
    expected = torch.autograd.grad(by_formula(*given).sum(), [a for a in given if a.requires_grad])
    found = torch.autograd.grad(in_one(*given).sum(), [a for a in given if a.requires_grad])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_graph_that_is_kept_can_be_gone_through_again() -> None:
    given = tensors((2, 9, 2, 3, 2))
    total = in_one(*given).sum()
    once = torch.autograd.grad(total, given, retain_graph=True)
    for first, second in zip(once, torch.autograd.grad(total, given), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("projection", ["linear", "convolution"])
def test_a_transolver_is_the_same_with_it(projection: str) -> None:
    torch.manual_seed(0)
    settings = {"width": 8, "depth": 2, "heads": 2, "slices": 5, "projection": projection}
    net = Transolver(3, 1, reference=0, init="torch", **settings).double()
    u = torch.rand(2, 9, 7, 3, dtype=DOUBLE) if projection == "convolution" else torch.rand(2, 63, 3, dtype=DOUBLE)
    plain = net(u)
    expected = torch.autograd.grad(plain.square().sum(), list(net.parameters()))
    with fusing():
        fused = net(u)
    assert "ThroughSlices" in str(_functions(fused))
    torch.testing.assert_close(fused, plain, rtol=1e-11, atol=1e-12)
    found = torch.autograd.grad(fused.square().sum(), list(net.parameters()))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def _functions(a: Tensor) -> set[str]:
    names, left = set(), [a.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in names:
            names.add(node)
            left += [parent for parent, _ in node.next_functions]
    return {type(node).__name__ for node in names}


def test_it_declines_what_it_cannot_be(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tensors((2, 5, 3, 4, 2))

    def asked(*changed: Tensor) -> Tensor | None:
        projected, weights, biases, mix = changed
        return through_slices(projected, weights, biases, lambda s, t: among(s, t, mix), [mix])

    assert asked(*given) is None  # outside a block
    with fusing(build=False):
        assert asked(*given) is None
    with fusing():
        assert asked(*(a.half() for a in given)) is None
        assert asked(*tensors((1, 2, 1, 2, WIDEST + 1))) is None
        assert asked(given[0].float(), *given[1:]) is None
        assert asked(*(a.to("meta") for a in given)) is None
        with forward_ad.dual_level():
            assert asked(forward_ad.make_dual(given[0], given[0]), *given[1:]) is None
        layer = PhysicsAttention(4, 2, 3, 0).double()
        x = torch.randn(3, 2, 6, 4, dtype=DOUBLE)
        mapped = torch.func.vmap(layer)(x)
        torch.testing.assert_close(mapped[1], layer(x[1]))
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    with caplog.at_level(logging.WARNING, logger="sciml"), fusing():
        assert asked(*tensors((1, 3, 1, 9, 7))) is None
        assert asked(*tensors((1, 3, 1, 9, 7))) is None
    assert caplog.messages == ["attention among slices is not fused, and takes longer: there is no C++ compiler"]
    _program.cache_clear()


def test_memory_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    given = tensors((1, 5, 1, 4, 2))
    in_one(*given)
    program = _program(4, 2, DOUBLE)
    assert program is not None

    class Refusing:
        def run_slice(self, *arguments: object) -> int:
            return 1

    monkeypatch.setattr(program, "_library", Refusing())
    with pytest.raises(MemoryError, match="no memory for a tile"):
        in_one(*given)
