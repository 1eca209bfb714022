from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from sciml.data.stream import stream
from sciml.diffusion.base import Dataset, Measurement
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior import empirical
from sciml.diffusion.prior.empirical import Empirical
from sciml.diffusion.sampler.heun import Heun
from sciml.diffusion.solver.exact import Exact
from sciml.errors import ConfigError

SHAPE = (4, 1)


class Known(Dataset):
    """Five fields, of which the first entry is always the same."""

    shape, names, periodic = SHAPE, ("x",), (False,)

    def splits(self) -> dict[str, Tensor]:
        fields = torch.randn(10, *SHAPE, generator=stream("fields", 0)).double()
        fields[:, 0] = -1.25
        return {"train": fields[:5], "val": fields[5:7], "test": fields[7:]}


@pytest.fixture(params=[2**22, 11])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything at once, and two states at a time."""
    monkeypatch.setattr(empirical, "ENTRIES", request.param)


class Squares(Measurement):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, 1:3].square()


@pytest.mark.usefixtures("blocks")
def test_it_is_the_mixture_of_narrow_normal_laws_that_another_library_has() -> None:
    prior = Empirical(dataset=Known())
    fields = prior.fields
    x, sigma = prior.sample(7, stream("x", 0)) + 0.2, 0.4
    law = MixtureSameFamily(Categorical(torch.ones(5).double()), Independent(Normal(fields, sigma), 1))
    density = prior.log_density(x, sigma)
    assert density is not None
    torch.testing.assert_close(density, law.log_prob(x.flatten(1)))
    assert prior.log_density(x) is None  # point masses
    weights = (law.component_distribution.log_prob(x.flatten(1)[:, None])).softmax(1)
    mean, covariance = prior.posterior(x, sigma)
    assert covariance is not None
    expected = weights @ fields
    torch.testing.assert_close(mean.flatten(1), expected)
    v = torch.randn(7, *SHAPE, dtype=torch.float64, generator=stream("v", 0))
    centred = fields - expected[:, None]
    product = torch.einsum("nk,nkd,nke,ne->nd", weights, centred, centred, v.flatten(1))
    torch.testing.assert_close(covariance.matvec(v).flatten(1), product)
    whole, covariance = prior.posterior(x[:1], math.inf)
    assert covariance is not None
    torch.testing.assert_close(whole[0].flatten(), fields.mean(0))
    torch.testing.assert_close(covariance.dense(x[0]), torch.cov(fields.T, correction=0))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("measurement", [Points(shape=SHAPE, sensors=2, noise_std=0.5), Squares(noise_std=0.5)])
def test_every_posterior_is_the_same_fields_with_other_weights(measurement: Measurement) -> None:
    prior = Empirical(dataset=Known())
    y = torch.tensor([[0.3, 0.8], [-0.2, 0.4]], dtype=torch.float64)
    posterior = prior.exact(measurement, y)
    seen = measurement(prior.fields.reshape(-1, *SHAPE))
    density = torch.exp(-(y[:, None] - seen).square().sum(2) / (2 * 0.25))
    weights = density / density.sum(1, keepdim=True)
    assert (weights.max(1).values < 0.9).all()
    mean = weights @ prior.fields
    torch.testing.assert_close(posterior.mean.flatten(1), mean)
    variance = (weights @ prior.fields.square()) - mean.square()
    torch.testing.assert_close(posterior.variance.flatten(1)[:, 1:], variance[:, 1:])
    assert (posterior.variance[:, 0] == 0).all()  # not 1e-32: nobody divides by it
    rows = prior.exact(measurement, y.repeat_interleave(3000, 0))
    for drawn, wanted in zip(rows.sample(stream("draw", 0)).flatten(1).split(3000), weights, strict=True):
        share = (drawn[:, None] == prior.fields).all(2).double().mean(0)
        torch.testing.assert_close(share, wanted, atol=0.05, rtol=0)
    x = Exact()(y, measurement, prior, (2, *SHAPE), stream("solver", 0))
    assert (x.flatten(1)[:, None] == prior.fields).all(2).any(1).all()


def test_a_sampler_ends_on_fields_of_the_data_and_splits_are_kept_apart() -> None:
    prior = Empirical(dataset=Known(), split="test")
    assert torch.equal(prior.fields, Known().splits()["test"].flatten(1))
    sampler = Heun(levels=Karras(steps=30, sigma_max=20.0))
    x = sampler(prior, (6, *SHAPE), stream("sampler", 0)).flatten(1)
    assert torch.cdist(x, prior.fields).min(1).values.max() < 1e-6
    with pytest.raises(ConfigError, match="one of train, val, test"):
        Empirical(dataset=Known(), split="training")
