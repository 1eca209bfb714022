"""Fused stacks are the layers one by one: values, channels and gradients; and they decline what they cannot be."""

from __future__ import annotations

import ctypes
import logging
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from sciml.equation.operator import Operator, laplacian, partials
from sciml.kernel import compiler, source
from sciml.kernel.compiler import NotCompiled
from sciml.kernel.fusing import fusing
from sciml.kernel.program import Program
from sciml.kernel.source import Stack
from sciml.kernel.stack import WIDEST, _number, fused
from sciml.network.mlp import MLP
from sciml.network.siren import Siren
from sciml.pinn.jet import Jet

T, X, Y = partials(3)
DOUBLE = torch.float64


def both(network: nn.Module, x: Tensor, operators: tuple[Operator, ...]) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Results, and the gradient of a random sum of them: layer by layer, and fused."""
    found = []
    for fuse in (False, True):
        jet = Jet(network, mode="taylor")

        def evaluate(jet: Jet = jet) -> list[Tensor]:
            return list(jet.derivatives(x, *operators)) if operators else [jet(x)]

        if fuse:
            with fusing() as session:
                results = evaluate()
            assert len(session.stacks) == 1
        else:
            results = evaluate()
        generator = torch.Generator().manual_seed(1)
        total = sum((torch.randn(r.shape, generator=generator, dtype=r.dtype) * r).sum() for r in results)
        assert isinstance(total, Tensor)
        gradients = torch.autograd.grad(total, list(network.parameters()))
        found.append(([r.detach() for r in results], list(gradients)))
    return found


def close(network: nn.Module, x: Tensor, operators: tuple[Operator, ...], tolerance: float) -> None:
    slow, fast = both(network, x, operators)
    for mine, theirs in zip([*fast[0], *fast[1]], [*slow[0], *slow[1]], strict=True):
        assert mine.shape == theirs.shape
        assert float((mine - theirs).norm()) <= tolerance * float(theirs.norm()), mine.shape


# Sizes that fill no block, no tile and no register; one that needs several tiles.
@pytest.mark.parametrize("activation", ["tanh", "sine"])
@pytest.mark.parametrize(
    ("operators", "widths", "n"),
    [
        ((), (3, 7, 3, 2), 1),
        ((T + 2 * X,), (3, 5, 1), 130),
        ((T - 0.3 * X**2, X), (3, 11, 9, 1), 300),
        ((laplacian(X, Y) ** 2, T * X**2), (3, 6, 13, 2), 70),
        ((X, T, Y, X**2, X**3, T * X**2 * Y, X**4), (3, 8, 8, 8, 1), 65),
    ],
    ids=["values", "first", "burgers", "biharmonic", "fourth"],
)
def test_they_are_the_layers_one_by_one(
    operators: tuple[Operator, ...], widths: tuple[int, ...], n: int, activation: str
) -> None:
    torch.manual_seed(0)
    network = MLP(widths[0], widths[-1], width=4, depth=1, activation=activation)
    network.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
    x = 2 * torch.rand(n, widths[0], dtype=DOUBLE) - 1
    close(network.double(), x, operators, 1e-13)


def test_single_precision_and_a_network_of_sines() -> None:
    torch.manual_seed(0)
    x = 2 * torch.rand(200, 3) - 1
    close(MLP(3, 1, width=50, depth=4), x, (T - 0.3 * X**2, X), 3e-6)
    close(Siren(3, 2, width=20, depth=2, omega=5.0).double(), x.double(), (T - 0.3 * X**2, X), 1e-12)


def test_inputs_with_channels_at_every_point_and_networks_behind_other_functions() -> None:
    class Periodic(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = MLP(3, 2, width=5, depth=2)

        def forward(self, x: Tensor) -> Tensor:
            t, angle = x[:, :1], math.pi * x[:, 1:2]
            u = self.inside(torch.cat([t, torch.sin(angle), torch.cos(angle)], dim=1))
            return u[:, :1] * (1 - x[:, 1:2] ** 2) + u[:, 1:]

    torch.manual_seed(0)
    close(Periodic().double(), 2 * torch.rand(150, 3, dtype=DOUBLE) - 1, (T - 0.3 * X**2, X**3), 1e-12)


def test_two_threads_compute_what_one_does_and_the_same_every_time() -> None:
    torch.manual_seed(0)
    network, x = MLP(2, 1, width=9, depth=2).double(), torch.rand(1000, 2, dtype=DOUBLE)
    t, s = partials(2)
    threads, runs = torch.get_num_threads(), []
    try:
        for n in (1, 2, 2):
            torch.set_num_threads(n)
            runs.append(both(network, x, (t - s**2,))[1])
    finally:
        torch.set_num_threads(threads)
    for one, two, again in zip(*(r[1] for r in runs), strict=True):
        assert float((one - two).norm()) <= 1e-13 * float(one.norm())
        assert torch.equal(two, again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("name", "function", "reach"), [("tanh", torch.tanh, 30.0), ("sin", torch.sin, 3000.0)], ids=["tanh", "sin"]
)
def test_functions_are_exact_to_a_few_digits_of_the_last_place(
    name: str, function: Callable[[Tensor], Tensor], reach: float, dtype: torch.dtype
) -> None:
    made = Program(Stack((1, 1, 1), name, str(dtype).removeprefix("torch."), ()))
    one, zero = torch.ones(1, 1, dtype=dtype), torch.zeros(1, dtype=dtype)
    grid, near = torch.linspace(-reach, reach, 20001, dtype=dtype), torch.logspace(-30, 0, 500, dtype=dtype)
    x = torch.cat([grid, near, -near, zero])[:, None]
    value = made.forward([x], [one, one], [zero, zero])[1]
    exact = function(x.double()) if dtype == torch.float32 else function(x)
    # Near the zeros of the sine it is the digits of the reduced argument that count.
    scale = exact.abs().clamp_min(0.1) if name == "sin" else exact.abs()
    error = ((value.double() - exact).abs() / scale.clamp_min(1e-300)).max()
    assert float(error) < 6 * torch.finfo(dtype).eps
    assert (
        float((value.double()[20001:] / exact[20001:] - 1)[exact[20001:] != 0].abs().max()) < 4 * torch.finfo(dtype).eps
    )
    odd = torch.tensor([[math.nan], [math.inf], [-math.inf]], dtype=dtype)
    value = made.forward([odd], [one, one], [zero, zero])[1]
    torch.testing.assert_close(value, function(odd), equal_nan=True)


def test_a_run_that_diverges_is_not_hidden() -> None:
    network = MLP(2, 1, width=4, depth=2).double()
    with torch.no_grad():
        network.layers[0].weight[0, 0] = math.nan  # type: ignore[union-attr, index]
    t, _ = partials(2)
    with fusing():
        u, u_t = Jet(network).derivatives(torch.rand(3, 2, dtype=DOUBLE), t)
    assert bool(torch.isnan(u).all())
    assert bool(torch.isnan(u_t).all())


def test_what_is_declined() -> None:
    x = torch.rand(5, 2)

    def stacks(network: nn.Module, x: Tensor) -> int:
        with fusing() as session:
            network(x)
        return len(session.stacks)

    small: Any = {"width": 3, "depth": 1}
    assert stacks(MLP(2, 1, **small), x) == 1
    assert stacks(MLP(2, 1, **small, activation="silu"), x) == 0
    assert stacks(MLP(2, 1, width=WIDEST + 1, depth=1), x) == 0
    assert stacks(MLP(2, 1, **small), x.requires_grad_()) == 0
    assert stacks(MLP(2, 1, **small), torch.rand(4, 5, 2)) == 0
    assert stacks(MLP(2, 1, **small), torch.rand(0, 2)) == 0
    assert stacks(MLP(2, 1, **small).half(), torch.rand(5, 2).half()) == 0
    network = MLP(2, 1, **small)
    assert fused(x, network.layers, torch.tanh) is None, "nobody asked for it"


def test_who_maps_or_differentiates_forward_gets_the_layers() -> None:
    network, x = MLP(2, 1, width=3, depth=1).double(), torch.rand(5, 2, dtype=DOUBLE)
    weights = dict(network.named_parameters())

    def values(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(network, weights, (x,))

    slope = torch.func.jvp(network, (x,), (torch.ones_like(x),))[1]
    rows = torch.func.jacrev(values)(weights)
    with fusing() as session:
        assert torch.equal(torch.func.jvp(network, (x,), (torch.ones_like(x),))[1], slope)
        assert torch.equal(torch.func.vmap(lambda p: network(p[None])[0])(x), torch.func.vmap(network)(x))
        torch.testing.assert_close(torch.func.jacrev(values)(weights), rows)
        with forward_ad.dual_level():
            tangent = forward_ad.unpack_dual(network(forward_ad.make_dual(x, torch.ones_like(x)))).tangent
    torch.testing.assert_close(tangent, slope)
    assert not session.stacks


def test_stacks_can_be_noted_without_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    network, x = MLP(2, 1, width=17, depth=1), torch.rand(5, 2)
    with fusing(build=False) as session:
        value = network(x)
    assert len(session.stacks) == 1
    assert torch.equal(value, network(x))


def test_without_a_compiler_the_layers_go_one_by_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiler, "compiler", lambda: None)
    _number.cache_clear()
    network, x = MLP(2, 1, width=18, depth=1), torch.rand(5, 2)
    with caplog.at_level(logging.WARNING, "sciml"), fusing():
        first, second = network(x), network(x)
    assert torch.equal(first, network(x))
    assert torch.equal(second, first)
    assert [r.message for r in caplog.records] == ["layers are not fused, and take longer: there is no C++ compiler"]
    _number.cache_clear()


def test_what_a_compiler_says_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(source.FUNCTIONS, "tanh", ("unheard_of(z)", source.FUNCTIONS["tanh"][1]))
        with pytest.raises(NotCompiled, match=r"^\S+: .*error: 'unheard_of' was not declared"):
            Program(Stack((1, 1, 1), "tanh", "float32", ()))
    monkeypatch.setenv("CXX", "/bin/false")
    with pytest.raises(NotCompiled, match=r"^/bin/false: ended with 1$"):
        Program(Stack((1, 1, 1), "tanh", "float32", ()))
    monkeypatch.setattr(compiler.subprocess, "run", lambda *a, **k: (_ for _ in ()).throw(OSError("gone")))
    with pytest.raises(NotCompiled, match="gone"):
        Program(Stack((1, 1, 1), "tanh", "float32", ()))


def test_memory_that_cannot_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Program(Stack((1, 1, 1), "tanh", "float32", ()))

    class Refusing:
        def run_forward(self, *args: object) -> int:
            return 1

    monkeypatch.setattr(made, "_library", Refusing())
    one, zero = torch.ones(1, 1), torch.zeros(1)
    with pytest.raises(MemoryError, match="no memory for a tile of points"):
        made.forward([one], [one, one], [zero, zero])
    with pytest.raises(ValueError, match="not aligned"):
        made.backward([one], [one, one], torch.empty(100)[1:], [one])
    assert ctypes.sizeof(made._Arguments) > 0


def test_they_are_differentiated_once() -> None:
    network, x = MLP(2, 1, width=3, depth=1), torch.rand(5, 2)
    with fusing():
        loss = network(x).square().sum()
    (g,) = torch.autograd.grad(loss, [network.layers[0].weight], create_graph=True)  # type: ignore[list-item]
    with pytest.raises(RuntimeError, match="once_differentiable"):
        g.sum().backward()
