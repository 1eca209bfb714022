from __future__ import annotations

import copy
import io
import itertools

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from sciml.errors import ConfigError
from sciml.network import dft
from sciml.network.dft import prefers_dft
from sciml.network.spectral import Spectral

# Even and odd grids; more modes than points; the highest frequency of an even grid, on the last and on other axes.
CASES = [
    ((12,), (4,)),
    ((13,), (9,)),
    ((12,), (7,)),
    ((12, 13), (4, 5)),
    ((13, 12), (3, 9)),
    ((6, 7), (9, 9)),
    ((8, 8), (4, 5)),
    ((1, 5), (2, 2)),
    ((7, 6, 5), (2, 3, 2)),
    ((6, 4, 8), (3, 3, 6)),
    ((4, 3, 5, 4), (2, 2, 1, 3)),
]


def full_formula(net: Spectral, x: Tensor) -> Tensor:
    """All frequencies, those that are kept multiplied one by one, the others zero."""
    d = len(net.modes)
    axes, grid = tuple(range(d)), x.shape[:d]
    spectrum = torch.fft.rfftn(x.double(), dim=axes)
    product = spectrum.new_zeros(*spectrum.shape[:-1], net.out_features)
    weight = torch.complex(net.real.double(), net.imag.double()).movedim(d - 1, 0)
    ranges = [range(-m, m) for m in net.modes[:-1]] + [range(net.modes[-1])]
    for k in itertools.product(*ranges):
        if all(-n <= 2 * f < n for f, n in zip(k[:-1], grid[:-1], strict=True)) and 2 * k[-1] <= grid[-1]:
            place = (*(f + m for f, m in zip(k[:-1], net.modes[:-1], strict=True)), k[-1])
            product[k] = spectrum[k] @ weight[place]
    return torch.fft.irfftn(product, s=grid, dim=axes)


@pytest.mark.parametrize("transform", ["dft", "fft"])
@pytest.mark.parametrize(("grid", "modes"), CASES)
def test_it_equals_the_formula_with_the_whole_spectrum(grid: tuple, modes: tuple, transform: str) -> None:
    net = Spectral(3, 2, modes, transform=transform)
    x = torch.randn(*grid, 4, 3)
    expected = full_formula(net, x)
    assert (net(x) - expected).norm() < 1e-6 * expected.norm()
    assert (net.double()(x.double()) - expected).norm() < 1e-14 * expected.norm()


@pytest.mark.parametrize("transform", ["dft", "fft"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_along_an_axis_lines_are_examples(axis: int, transform: str) -> None:
    net = Spectral(3, 2, [4], transform=transform).double()
    x = torch.randn(5, 6, 7, 2, 3, dtype=torch.float64)
    lines = x.movedim(axis, 0)
    expected = full_formula(net, lines.reshape(len(lines), -1, 3)).view(*lines.shape[:-1], 2).movedim(0, axis)
    torch.testing.assert_close(net.along(x, axis), expected)


@pytest.mark.parametrize("points", [16, 17])
def test_weights_of_one_pass_what_is_below_the_modes_and_nothing_else(points: int) -> None:
    net = Spectral(1, 1, [4, 4]).double()
    net.real.data.fill_(1.0)
    net.imag.data.zero_()
    x, y = (torch.arange(points, dtype=torch.float64) * 2 * torch.pi / points for _ in range(2))
    low = torch.cos(3 * x[:, None] - 2 * y) + torch.sin(x[:, None] + 3 * y) + 1
    high = torch.cos(5 * x[:, None] + y) + torch.cos(4 * y)
    torch.testing.assert_close(net((low + high)[..., None, None])[..., 0, 0], low)


def test_the_faster_transform_is_taken() -> None:
    assert prefers_dft((64, 64), (24, 24))
    assert not prefers_dft((512, 512), (128, 128))
    assert prefers_dft((1021,), (128,))
    assert not prefers_dft((1024,), (128,))
    assert prefers_dft((128,), (512,))  # that the grid has so few counts, not what is asked for


def test_the_matrices_are_no_part_of_copies_and_checkpoints() -> None:
    net = Spectral(2, 2, [4, 4])
    net(torch.randn(64, 64, 1, 2))
    file = io.BytesIO()
    torch.save(copy.deepcopy(net).state_dict(), file)
    assert file.tell() < 4 * (net.real.numel() + net.imag.numel()) + 4000


def test_matrices_that_a_transform_of_functions_made_serve_afterwards() -> None:
    dft._cache.clear()
    net, x = Spectral(2, 2, [3, 3]).double(), torch.randn(6, 7, 4, 2, dtype=torch.float64)
    params = dict(net.named_parameters())
    each = vmap(grad(lambda p, u: functional_call(net, p, (u,)).square().sum()), (None, 2))(params, x[:, :, :, None])
    with torch.inference_mode():
        torch.testing.assert_close(net(x), full_formula(net, x))
    together = torch.autograd.grad(net(x).square().sum(), list(params.values()))
    for one, total in zip(each.values(), together, strict=True):
        torch.testing.assert_close(one.sum(0), total)


def test_matrices_made_in_inference_mode_serve_training() -> None:
    dft._cache.clear()
    net, x = Spectral(1, 1, [3]), torch.randn(8, 2, 1)
    with torch.inference_mode():
        net(x)
    net(x).sum().backward()
    assert net.real.grad is not None


def test_half_precision_is_left_for_the_transforms() -> None:
    net, x = Spectral(4, 4, [6, 6]), torch.randn(24, 24, 2, 4)
    expected = full_formula(net, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = net(x)
    assert (found - expected).norm() < 1e-6 * expected.norm()
    rounded = net.bfloat16()(x.bfloat16())
    assert rounded.dtype == torch.bfloat16
    assert (rounded - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modes": []}, "modes is empty"),
        ({"modes": [4], "transform": "dct"}, "unknown 'dct'"),
        ({"modes": [4], "init": "zero"}, "unknown 'zero'"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Spectral(1, 1, **settings)
