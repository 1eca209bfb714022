"""Fused trigonometric series are their sums: values and gradients; and they decline what they cannot be."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from torch import Tensor

from sciml.kernel import compiler
from sciml.kernel.fusing import fusing
from sciml.kernel.series import _program, series
from sciml.network.lsm import LSM, LatentSpectralBlock

DOUBLE = torch.float64


def by_sum(x: Tensor, coefficients: Tensor, rate: float) -> Tensor:
    terms = enumerate(zip(*coefficients, strict=True))
    return torch.stack([a * (k * rate * x).sin() + b * (k * rate * x).cos() for k, (a, b) in terms]).sum(0)


def in_one(x: Tensor, coefficients: Tensor, rate: float) -> Tensor:
    with fusing():
        found = series(x, coefficients, rate)
    assert found is not None
    return found


def tensors(rows: int, columns: int, terms: int, dtype: torch.dtype = DOUBLE) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(rows, columns, generator=generator, dtype=dtype)
    return x.requires_grad_(), torch.randn(2, terms, columns, generator=generator, dtype=dtype).requires_grad_()


# Columns that fill no register, one register, and several and a part.
@pytest.mark.parametrize(("rows", "columns", "terms"), [(1, 1, 1), (3, 5, 2), (4, 16, 7), (50, 37, 12)])
def test_they_are_their_sums(rows: int, columns: int, terms: int) -> None:
    given = tensors(rows, columns, terms)
    slow, fast = by_sum(*given, 0.7), in_one(*given, 0.7)
    torch.testing.assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    bar = torch.randn(slow.shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    expected = torch.autograd.grad(slow, given, bar)
    for mine, theirs in zip(torch.autograd.grad(fast, given, bar), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)


def test_single_precision_keeps_its_digits() -> None:
    given = tensors(200, 64, 12, torch.float32)
    exact = [a.detach().double().requires_grad_() for a in given]
    slow, fast = by_sum(exact[0], exact[1], math.pi / 12), in_one(*given, math.pi / 12)
    assert float((fast.detach().double() - slow.detach()).norm() / slow.detach().norm()) < 1e-6
    expected = torch.autograd.grad(slow.square().sum(), exact)
    for mine, theirs in zip(torch.autograd.grad(fast.square().sum(), given), expected, strict=True):
        assert float((mine.double() - theirs).norm() / theirs.norm()) < 2e-6


def test_nan_is_not_hidden_and_threads_change_nothing() -> None:
    x, coefficients = tensors(40, 70, 5)
    threads, runs = torch.get_num_threads(), []
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            found = in_one(x, coefficients, 1.0)
            runs.append([found.detach(), *torch.autograd.grad(found.square().sum(), (x, coefficients))])
    finally:
        torch.set_num_threads(threads)
    for one, two in zip(*runs, strict=True):
        assert torch.equal(one, two)
    with torch.no_grad():
        x[2, 3] = math.nan
    found = in_one(x, coefficients, 1.0)
    assert found[2, 3].isnan()
    assert found.isnan().sum() == 1


@pytest.mark.parametrize("axes", [1, 2])
def test_an_lsm_is_the_same_with_them(axes: int) -> None:
    torch.manual_seed(0)
    net = LSM(axes + 1, 1, patch=(2,) * axes, width=4, scales=3, heads=2, norm="group").double()
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    u = torch.rand(2, *(9, 7)[:axes], axes + 1, dtype=DOUBLE)
    plain = net(u)
    expected = torch.autograd.grad(plain.square().sum(), list(net.parameters()))
    with fusing():
        fused = net(u)
    torch.testing.assert_close(fused, plain, rtol=1e-10, atol=1e-10)
    found = torch.autograd.grad(fused.square().sum(), list(net.parameters()))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-9 * float(theirs.norm()))


def test_they_decline_what_they_cannot_be(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    x, coefficients = tensors(3, 4, 3)
    assert series(x, coefficients, 1.0) is None  # outside a block
    with fusing(build=False):
        assert series(x, coefficients, 1.0) is None
    with fusing():
        assert series(x.float(), coefficients, 1.0) is None
        block = LatentSpectralBlock(4, patch=[2], tokens=2, basis=3, heads=2).double()
        u = torch.randn(2, 1, 4, 4, dtype=DOUBLE)
        torch.testing.assert_close(torch.func.vmap(block)(u)[1], block(u[1]))
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    with caplog.at_level(logging.WARNING, logger="sciml"), fusing():
        assert series(*tensors(3, 4, 29), 1.0) is None
        assert series(*tensors(3, 4, 29), 1.0) is None
    assert caplog.messages == ["series are not fused, and take longer: there is no C++ compiler"]
    _program.cache_clear()
