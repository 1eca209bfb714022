from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.network.fno import FNO
from sciml.network.neuraloperator import from_neuraloperator, to_neuraloperator


def network(**settings: Any) -> FNO:
    torch.manual_seed(0)
    net = FNO(3, 2, **{"modes": [2, 3], "width": 4, "depth": 2, "projection": 5, **settings}).double()
    with torch.no_grad():
        for parameter in net.parameters():  # also those that start as ones and zeros
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


def transcription(w: dict[str, Tensor], u: Tensor, pad: int) -> Tensor:
    """neuraloperator's network: channels first, complex weights, whole spectra; zeros at both ends of the axes."""

    def perceptron(name: str, x: Tensor) -> Tensor:
        x = torch.einsum("oi,bi...->bo...", w[f"{name}.fcs.0.weight"][..., 0], x) + bias(f"{name}.fcs.0.bias")
        if f"{name}.fcs.1.bias" in w:
            x = torch.einsum("oi,bi...->bo...", w[f"{name}.fcs.1.weight"][..., 0], F.gelu(x)) + bias(
                f"{name}.fcs.1.bias"
            )
        return x

    def bias(name: str) -> Tensor:
        return w[name].reshape(-1, *[1] * (u.ndim - 2))

    def skip(name: str, x: Tensor) -> Tensor | float:
        if f"{name}.conv.weight" in w:
            return torch.einsum("oi,bi...->bo...", w[f"{name}.conv.weight"][..., 0], x)
        return w[f"{name}.weight"] * x if f"{name}.weight" in w else 0.0

    def spectral(name: str, x: Tensor) -> Tensor:
        weight, axes, grid = w[f"{name}.weight.tensor"], tuple(range(2, x.ndim)), x.shape[2:]
        z = torch.fft.rfftn(x, dim=axes)
        for axis in axes[:-1]:
            z = torch.fft.fftshift(z, dim=axis)
        low = [slice(n // 2 - k // 2, n // 2 + k // 2) for n, k in zip(grid[:-1], weight.shape[2:-1], strict=True)]
        place = (slice(None), slice(None), *low, slice(0, weight.shape[-1]))
        out = torch.zeros_like(z)
        out[place] = torch.einsum("bi...,io...->bo...", z[place], weight)
        for axis in axes[:-1]:
            out = torch.fft.ifftshift(out, dim=axis)
        return torch.fft.irfftn(out, s=grid, dim=axes) + w[f"{name}.bias"]

    depth = sum("convs" in name and "bias" in name for name in w)
    v = F.pad(perceptron("lifting", u.movedim(-1, 1)), [pad, pad] * (u.ndim - 2))
    for n in range(depth):
        act = F.gelu if n < depth - 1 else lambda x: x
        new = act(spectral(f"fno_blocks.convs.{n}", v) + skip(f"fno_blocks.fno_skips.{n}", v))
        if f"fno_blocks.channel_mlp.{n}.fcs.0.bias" in w:
            new = perceptron(f"fno_blocks.channel_mlp.{n}", new) + skip(f"fno_blocks.channel_mlp_skips.{n}", v)
            new = act(new)
        v = new
    inner = tuple(slice(pad, n - pad) for n in v.shape[2:])
    return perceptron("projection", v[(slice(None), slice(None), *inner)]).movedim(1, -1)


@pytest.mark.parametrize(
    ("settings", "grid", "pad"),
    [
        ({}, (8, 9), 0),
        ({"lifting": 6, "mlp": 3}, (9, 8), 0),
        ({"mlp": 3, "skip": "gate", "mlp_skip": "linear", "padding": 0.25}, (8, 8), 2),
        ({"mlp": 3, "skip": "none", "mlp_skip": "none", "padding": 6}, (7, 9), 3),
        ({"modes": [3], "mlp": 2}, (13,), 0),
        ({"modes": [2, 1, 2]}, (5, 6, 4), 0),
    ],
)
def test_it_is_neuraloperators_network_with_converted_weights(settings: dict, grid: tuple, pad: int) -> None:
    net = network(**settings)
    state, u = to_neuraloperator(net), torch.randn(2, *grid, 3, dtype=torch.float64)
    torch.testing.assert_close(net(u), transcription(state, u, pad))
    back = from_neuraloperator(state, padding=settings.get("padding", 0))
    torch.testing.assert_close(back(u), net(u))
    assert len(list(back.parameters())) == len(list(net.parameters()))


def test_an_identity_skip_has_no_weights_and_is_asked_for() -> None:
    net, u = network(skip="identity", mlp=2), torch.randn(1, 6, 7, 3, dtype=torch.float64)
    state = to_neuraloperator(net)
    torch.testing.assert_close(from_neuraloperator(state, skip="identity")(u), net(u))
    torch.testing.assert_close(from_neuraloperator({**state, "_metadata": {"fno_skip": "identity"}})(u), net(u))
    assert (from_neuraloperator(state)(u) - net(u)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_metadata": {"norm": "group_norm"}}, "norm=group_norm has no counterpart"),
        ({"_metadata": {"separable": True}}, "separable=True has no counterpart"),
        ({"fno_blocks.norm.0.weight": torch.ones(4)}, "fno_blocks.norm.0.weight has no place"),
        ({"projection.fcs.1.weight": torch.ones(2, 7, 1)}, "projection.fcs.1.weight has the shape"),
        ({"fno_blocks.convs.0.weight.tensor": torch.ones(4, 4, 3, 3)}, "even number"),
        ({"fno_blocks.convs.0.weight.tensor": None}, "no FNO with dense"),
        ({"fno_blocks.fno_skips.1.conv.weight": None}, "fno_skips.1.conv.weight is missing"),
    ],
)
def test_weights_of_another_network_are_refused(change: dict, message: str) -> None:
    state = {**to_neuraloperator(network()), **change}
    with pytest.raises(ConfigError, match=message):
        from_neuraloperator(state)


@pytest.mark.parametrize(
    ("in_features", "settings", "count"),
    [
        # Real numbers; the authors' code counts a complex one once: 465 557 and 1 188 353.
        (12, {"modes": [12, 12], "width": 20}, 926_357),
        (3, {"modes": [12, 12], "width": 32}, 2_368_001),
        # neuraloperator's defaults with n_modes (16, 16) and 24 channels.
        (3, {"modes": [8, 9], "width": 24, "lifting": 48, "projection": 48, "mlp": 12}, 671_113),
    ],
)
def test_it_has_as_many_parameters_as_the_papers_network(in_features: int, settings: dict, count: int) -> None:
    assert sum(p.numel() for p in FNO(in_features, 1, **settings).parameters()) == count


def test_padding_parts_the_ends_of_the_domain() -> None:
    u = torch.randn(1, 16, 12, 3, dtype=torch.float64)
    for padding, symmetric in ((0, True), ([0.25, 4], False)):
        net = network(padding=padding)
        shifted = net(u.roll(3, dims=1)) - net(u).roll(3, dims=1)
        assert (shifted.abs().max() < 1e-12) == symmetric
        assert not network(activation="relu").grid_free
        assert ("translation" in net.equivariant) == net.grid_free == symmetric


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "step"}, "unknown 'step'"),
        ({"skip": "dense"}, "network.skip: unknown 'dense'"),
        ({"padding": [1]}, "padding has 1 numbers"),
        ({"padding": 1.5}, "padding is 1.5"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        network(**settings)


def test_a_field_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"modes has 2 numbers; fields .* have 1 axes"):
        network()(torch.randn(2, 8, 3, dtype=torch.float64))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(FNO, modes=[4, 0], width=0, depth=0, lifting=-1, padding=-1) == {}
