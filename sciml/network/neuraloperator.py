r"""Weights of an FNO from and to neuraloperator 2.0.0 (Kossaifi et al., MIT licence).

There the complex weight of a spectral layer is ``(in, out, *frequencies)``, frequencies ascending from :math:`-m_j` on
all axes but the last, and the layer's bias belongs to the spectral part; here it belongs to the linear map beside it.
``n_modes`` of neuraloperator is :math:`(2 m_1, \ldots, 2 m_{d-1}, 2 (m_d - 1))`. Positions are the last channels of the
input in both; neuraloperator appends them by itself and takes i/n, unless its ``positional_embedding`` is None.

Predictions agree to rounding on grids with an even number of points. On an odd one neuraloperator 2.0.0 undoes
``fftshift`` by ``fftshift``, which shifts the result by one frequency along all axes but the last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.network.fno import FNO, Skip
from sciml.network.modal import TwoLayers

_SPECTRAL = "fno_blocks.convs.{}.weight.tensor"
_SKIPS = {"soft-gating": "gate", None: "none"}


def from_neuraloperator(state: Mapping[str, Any], **settings: Any) -> FNO:
    """The FNO with the weights of a ``state_dict()``.

    Args:
        state: Tensors by name; ``_metadata``, which neuraloperator adds, is read where it is there.
        settings: Of :class:`sciml.network.fno.FNO`, that weights do not tell: ``padding`` (their ``domain_padding``),
            ``activation``, ``transform``, ``skip: identity``.

    Raises:
        ConfigError: The weights are of a network that FNO is not: with norms, factorised weights, an odd number of
            modes, complex data.
    """
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    metadata: Mapping[str, Any] = state.get("_metadata") or {}
    for key in ("norm", "stabilizer", "resolution_scaling_factor"):
        if metadata.get(key) is not None:
            raise ConfigError(f"neuraloperator's {key}={metadata[key]} has no counterpart in FNO")
    for key in ("complex_data", "preactivation", "separable"):
        if metadata.get(key):
            raise ConfigError(f"neuraloperator's {key}={metadata[key]} has no counterpart in FNO")
    if _SPECTRAL.format(0) not in tensors:
        raise ConfigError(f"the weights have no {_SPECTRAL.format(0)}: they are of no FNO with dense spectral weights")
    width, _, *counts = tensors[_SPECTRAL.format(0)].shape
    if any(count % 2 for count in counts[:-1]):
        raise ConfigError(f"the weights have {counts} modes; on all axes but the last FNO has an even number")
    depth = len([name for name in tensors if re.fullmatch(r"fno_blocks\.convs\.\d+\.bias", name)])
    mlp = tensors.get("fno_blocks.channel_mlp.0.fcs.0.bias")
    found: dict[str, Any] = {
        "modes": [*(count // 2 for count in counts[:-1]), counts[-1]],
        "width": width,
        "depth": depth,
        "lifting": len(tensors["lifting.fcs.0.bias"]) if "lifting.fcs.1.bias" in tensors else 0,
        "projection": len(tensors["projection.fcs.0.bias"]),
        "mlp": 0 if mlp is None else len(mlp),
        "padding": metadata.get("domain_padding") or 0,
    }
    for ours, theirs in (("skip", "fno_skip"), ("mlp_skip", "channel_mlp_skip")):
        kind = metadata.get(theirs, _kind(tensors, "fno_skips" if ours == "skip" else "channel_mlp_skips"))
        found[ours] = _SKIPS.get(kind, kind)
    in_features, out_features = tensors["lifting.fcs.0.weight"].shape[1], len(tensors["projection.fcs.1.bias"])
    network = FNO(in_features, out_features, **{**found, **settings}).to(tensors["lifting.fcs.0.weight"].dtype)
    expected = to_neuraloperator(network)
    for name in sorted(set(expected) ^ set(tensors)):
        where = "has no place in FNO" if name in tensors else "is missing"
        raise ConfigError(f"neuraloperator's {name} {where}; {', '.join(f'{k}={v}' for k, v in found.items())}")
    for name, tensor in expected.items():
        if tensors[name].shape != tensor.shape:
            raise ConfigError(
                f"neuraloperator's {name} has the shape {tuple(tensors[name].shape)}; expected {tuple(tensor.shape)}"
            )
    with torch.no_grad():
        for parameter, value in _places(network, tensors):
            parameter.copy_(value)
    return network


def to_neuraloperator(network: FNO) -> dict[str, Tensor]:
    """What ``neuralop.models.FNO(...).load_state_dict`` takes."""
    state: dict[str, Tensor] = {}
    for layer, (spectral, pointwise) in enumerate(network.layers):
        state[_SPECTRAL.format(layer)] = _frequencies_last(torch.complex(spectral.real, spectral.imag))
        state[f"fno_blocks.convs.{layer}.bias"] = _bias(pointwise.skip).reshape(-1, *[1] * network.spatial_dims)
    for name, (tensor, shape) in _others(network).items():
        state[name] = tensor.reshape(shape)
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _others(network: FNO) -> dict[str, tuple[Tensor, tuple[int, ...]]]:
    """By neuraloperator's name, each parameter outside the spectral parts and the shape that it has there."""
    found: dict[str, tuple[Tensor, tuple[int, ...]]] = {}

    def linear(name: str, layer: nn.Linear, *, bias: bool = True) -> None:
        found[f"{name}.weight"] = layer.weight, (*layer.weight.shape, 1)
        if bias:
            found[f"{name}.bias"] = layer.bias, tuple(layer.bias.shape)

    def perceptron(name: str, part: TwoLayers) -> None:
        for i, layer in enumerate(part.linears):
            linear(f"{name}.fcs.{i}", layer)

    perceptron("lifting", network.lifting)
    perceptron("projection", network.projection)
    for n, (_, pointwise) in enumerate(network.layers):
        for name, skip in (("fno_skips", pointwise.skip), ("channel_mlp_skips", pointwise.mlp_skip)):
            if skip is not None and skip.linear is not None:
                linear(f"fno_blocks.{name}.{n}.conv", skip.linear, bias=False)
            elif skip is not None and skip.gate is not None:
                ones = [1] * network.spatial_dims
                found[f"fno_blocks.{name}.{n}.weight"] = skip.gate, (1, len(skip.gate), *ones)
        if pointwise.mlp is not None:
            perceptron(f"fno_blocks.channel_mlp.{n}", pointwise.mlp)
    return found


def _places(network: FNO, tensors: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Each parameter, and what it is to become."""
    places: list[tuple[Tensor, Tensor]] = []
    for layer, (spectral, pointwise) in enumerate(network.layers):
        weight = _frequencies_first(tensors[_SPECTRAL.format(layer)])
        places += [(spectral.real, weight.real), (spectral.imag, weight.imag)]
        places.append((_bias(pointwise.skip), tensors[f"fno_blocks.convs.{layer}.bias"].flatten()))
    for name, (parameter, _) in _others(network).items():
        places.append((parameter, tensors[name].reshape(parameter.shape)))
    return places


def _bias(skip: Skip) -> Tensor:
    bias = skip.bias if skip.linear is None else skip.linear.bias
    assert bias is not None
    return bias


def _frequencies_last(weight: Tensor) -> Tensor:
    """``(k_2, ..., k_d, k_1, in, out)`` to ``(in, out, k_1, ..., k_d)``."""
    return weight.movedim(-3, 0).movedim((-2, -1), (0, 1))


def _frequencies_first(weight: Tensor) -> Tensor:
    return weight.movedim((0, 1), (-2, -1)).movedim(0, -3)


def _kind(tensors: Mapping[str, Tensor], name: str) -> str | None:
    if f"fno_blocks.{name}.0.conv.weight" in tensors:
        return "linear"
    return "soft-gating" if f"fno_blocks.{name}.0.weight" in tensors else None
