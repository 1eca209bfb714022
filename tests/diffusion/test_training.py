from __future__ import annotations

from typing import Any

import pytest
import torch
from denoisers import trained
from refusals import accepted
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.diffusion.gaussian_fit import GaussianFit
from sciml.diffusion.preconditioner.edm import EDM
from sciml.diffusion.training import Denoising
from sciml.errors import ConfigError

SHAPE = (5, 1)


class Constant(nn.Module):
    """A network of one number, the same everywhere."""

    def __init__(self, n: int, m: int, *, conditions: int) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.zeros(m))

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        return self.level.expand(u.shape)


class Squares(Dataset):
    """A handful of fields on a square."""

    def __init__(self, points: tuple[int, int] = (4, 4), periodic: tuple[bool, bool] = (False, False)) -> None:
        self.shape, self.names, self.periodic = (*points, 1), ("x",), periodic

    def splits(self) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(3)
        return {name: torch.randn(8, *self.shape, generator=generator) for name in ("train", "val", "test")}


def module(dataset: Dataset, network: Any = Constant, **parameters: Any) -> Denoising:
    return Denoising(
        dataset=dataset,
        network=network,
        preconditioner=parameters.pop("preconditioner", EDM(sigma_data=1.0)),
        optimizer=torch.optim.Adam,  # type: ignore[arg-type]
        batch_size=8,
        **parameters,
    )


def test_the_loss_is_the_weighted_error_written_out() -> None:
    torch.manual_seed(0)
    one = module(Squares())
    one.setup("fit")
    with torch.no_grad():
        next(one.average.buffers()).fill_(0.3)  # the average of the weights is what is held out
    expected = 0.0
    val = one.split("val")
    noise = torch.randn(val.shape, generator=stream("denoising/held-out", 0))
    for i, (x, z) in enumerate(zip(val, noise, strict=True)):
        sigma = float((-1.2 + 1.2 * torch.special.ndtri(torch.tensor((i + 0.5) / 8, dtype=torch.float64))).exp())
        noisy = x + sigma * z
        skip, out = 1 / (sigma**2 + 1), sigma / (sigma**2 + 1) ** 0.5
        expected += ((sigma**2 + 1) / sigma**2 * (skip * noisy + out * 0.3 - x).square().mean() / 8).item()
    assert float(one.held_out_metrics()["val/loss"]) == pytest.approx(expected, rel=1e-5)


def test_a_perfect_network_has_the_floors_error_and_nothing_beats_it() -> None:
    """The floor is the best denoiser of a Gaussian field, and the exact network the same function."""
    one = trained(SHAPE, 256)
    one.setup("test")
    found: dict[str, Tensor] = {}
    one.log_dict = lambda metrics, **_: found.update(metrics)  # type: ignore[method-assign]
    one.test_step(0, 0)
    for level in (0.1, 1.0, 10.0):
        torch.testing.assert_close(found[f"rms_{level:g}"], found[f"rms_{level:g}_gaussian"], rtol=1e-6, atol=0)
    assert found["rms_0.1"] < 0.1  # noise of 0.1 in, less out
    assert found["rms_0.1"] < found["rms_1"] < found["rms_10"]
    next(one.average.buffers()).fill_(1.1)
    try:
        one.test_step(0, 0)
        assert found["rms_1"] > 1.0001 * found["rms_1_gaussian"]
    finally:
        next(one.average.buffers()).fill_(1.0)


def test_a_fitted_gaussian_denoises_as_brute_force_does() -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(400, 3, 4, 2, generator=generator, dtype=torch.float64).cumsum(1).cumsum(3)
    fit = GaussianFit(data, (False, True), rank=24)
    flat = data.flatten(1)
    mean, covariance = flat.mean(0), torch.cov(flat.T)
    x = data[:5] + 0.5
    gain = covariance @ torch.linalg.inv(covariance + 0.49 * torch.eye(24, dtype=torch.float64))
    expected = mean + (x.flatten(1) - mean) @ gain.T
    torch.testing.assert_close(fit.denoise(x, 0.7).flatten(1), expected, rtol=1e-5, atol=1e-5)


def test_examples_are_turned_as_the_square_allows_and_only_if_asked() -> None:
    class Seen(Constant):
        inputs: Tensor

        def forward(self, u: Tensor, condition: Tensor) -> Tensor:
            Seen.inputs = u
            return super().forward(u, condition)

    def corners(dihedral: bool) -> set[tuple[float, ...]]:
        torch.manual_seed(1)
        one = module(Squares(), Seen, dihedral=dihedral, preconditioner=EDM(sigma_data=1.0, p_mean=-20.0))
        one.setup("fit")
        one.losses()
        return {tuple(round(float(v), 3) for v in u[[0, 0, -1, -1], [0, -1, 0, -1], 0]) for u in Seen.inputs}

    plain, turned = corners(False), corners(True)
    assert {tuple(sorted(c)) for c in plain} == {tuple(sorted(c)) for c in turned}
    assert plain != turned


@pytest.mark.parametrize(
    ("dataset", "parameters", "message"),
    [
        (Squares((4, 6)), {"dihedral": True}, "dihedral needs a square grid"),
        (Squares(periodic=(True, False)), {"dihedral": True}, "two alike axes"),
        (Squares(), {"tested_at": []}, "diffusion.tested_at"),
        (Squares(), {"network": lambda n, m: nn.Linear(n, m)}, "must take a condition"),
        (Squares(), {"network": None}, "diffusion.network is null"),
    ],
)
def test_what_cannot_be_is_said(dataset: Dataset, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        module(dataset, **parameters)


def test_fields_are_drawn() -> None:
    one = module(Squares())
    one.setup("test")
    found = one.figures()
    assert set(found) == {"denoised"}
    assert [panel.get_title() for panel in found["denoised"].axes[:3]] == ["noisy: x", "denoised: x", "truth: x"]
    assert len(found["denoised"].axes) == 9


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Denoising, tested_at=[0.0], ema=1.0) == {}
