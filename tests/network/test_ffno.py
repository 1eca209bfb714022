from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.errors import ConfigError
from sciml.network.ffno import FFNO


def transcription(net: FFNO, u: Tensor, share: bool) -> Tensor:
    """The authors' network, on fields with the batch first and complex weights."""
    v = u @ net.lifting.layers[0].weight.T + net.lifting.layers[0].bias
    for n, pointwise in enumerate(net.pointwise):
        mixed = torch.zeros_like(v)
        for axis, spectral in enumerate(net.spectral[0 if share else n], 1):
            weight = torch.complex(spectral.real, spectral.imag)
            z = torch.fft.rfft(v, dim=axis, norm="ortho").movedim(axis, 1)
            kept = min(len(weight), z.shape[1])
            out = torch.zeros_like(z)
            out[:, :kept] = torch.einsum("bk...i,kio->bk...o", z[:, :kept], weight[:kept])
            mixed = mixed + torch.fft.irfft(out.movedim(1, axis), n=v.shape[axis], dim=axis, norm="ortho")
        first, second = pointwise.layers
        added = torch.relu(mixed @ first.weight.T + first.bias) @ second.weight.T + second.bias
        v = v + added
    x = added if net.head == "layer" else v
    for layer in net.projection.layers:
        x = x @ layer.weight.T + layer.bias
    return x


@pytest.mark.parametrize(
    ("modes", "grid", "share", "head"),
    [([5], (13,), False, "layer"), ([3, 6], (8, 9), True, "layer"), ([3, 2, 5], (4, 6, 7), False, "sum")],
)
def test_it_equals_its_formula(modes: list, grid: tuple, share: bool, head: str) -> None:
    net = FFNO(2, 3, modes=modes, width=4, depth=3, share=share, head=head, projection=5).double()
    u = torch.randn(2, *grid, 2, dtype=torch.float64)
    torch.testing.assert_close(net(u), transcription(net, u, share))


def test_padding_is_cut_off_again() -> None:
    net = FFNO(1, 1, modes=[3, 3], width=4, padding=[0.25, 3]).double()
    u = torch.randn(1, 8, 7, 1, dtype=torch.float64)
    padded = FFNO(1, 1, modes=[3, 3], width=4).double()
    padded.load_state_dict(net.state_dict())
    lifted = torch.nn.functional.pad(net.lifting(u), [0, 0, 0, 3, 0, 4])
    padded.lifting = torch.nn.Identity()
    torch.testing.assert_close(net(u), padded(lifted)[:, :8, :7])
    assert not net.grid_free
    assert not net.equivariant


@pytest.mark.parametrize(("share", "spectral"), [(True, 1), (False, 24)])
def test_it_has_as_many_parameters_as_the_papers_network(share: bool, spectral: int) -> None:
    net = FFNO(3, 1, modes=[16, 16], width=64, depth=24, factor=4, share=share)
    modes = spectral * 2 * 16 * 64 * 64 * 2
    layers = 24 * (64 * 256 + 256 + 256 * 64 + 64)
    assert sum(p.numel() for p in net.parameters()) == 3 * 64 + 64 + modes + layers + 64 * 128 + 128 + 128 + 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"activation": "step"}, "unknown 'step'"),
        ({"head": "both"}, "network.head: unknown 'both'"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FFNO(1, 1, **{"modes": [2], "width": 2, **settings})


def test_a_field_of_other_dimensions_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"modes has 1 numbers; fields .* have 2 axes"):
        FFNO(1, 1, modes=[2], width=2)(torch.randn(2, 8, 8, 1))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(FFNO, modes=4, factor=0, projection=0) == {}
