from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from modules import metrics
from refusals import accepted
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Posterior, Prior, Sampler
from sciml.diffusion.generation import Generation
from sciml.diffusion.levels import Karras
from sciml.diffusion.likelihood import Likelihood
from sciml.diffusion.noise.exponential import Exponential
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.mixture import Mixture
from sciml.diffusion.prior.moments import Moments
from sciml.diffusion.sampler.exact import Exact
from sciml.diffusion.sampler.heun import Heun
from sciml.diffusion.sde.vp import VP
from sciml.errors import ConfigError

SHAPE = (2, 1)


def generation(**parameters: Any) -> Generation:
    seed_everything(0, verbose=False)
    mixture = Mixture(shape=SHAPE, spacing=0.8, std=0.1)
    return Generation(**{"shape": SHAPE, "prior": mixture, "sampler": Exact(), "samples": 1000, **parameters})


class Changed(Sampler):
    """Exact samples, halved and shifted."""

    sigma_max = math.inf

    def __init__(self, factor: float, shift: float) -> None:
        self.factor, self.shift = factor, shift

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return self.factor * prior.sample(shape[0], generator) + self.shift


def test_exact_samples_are_at_the_noise_level_and_others_far_above_it() -> None:
    exact = metrics(generation())
    assert 0.5 < exact["sliced_wasserstein_ratio"] < 1.6
    assert abs(exact["sliced_wasserstein_z"]) < 3
    assert exact["mean_error"] < 3 / 1000**0.5
    assert exact["covariance_error"] < 0.1
    assert (exact["kl"], exact["log_density_error"]) == (0, 0)
    halved = metrics(generation(sampler=Changed(0.5, 0.0)))
    assert halved["covariance_error"] == pytest.approx(0.75, abs=0.03)
    assert halved["sliced_wasserstein_z"] > 10
    # Points halved around a mean of nearly zero: each moves by half its distance, along any direction.
    assert halved["sliced_wasserstein"] == pytest.approx(0.5, abs=0.08)
    shifted = metrics(generation(prior=Gaussian(shape=SHAPE, std=0.3), sampler=Changed(1.0, 0.6)))
    assert shifted["mean_error"] == pytest.approx(2, abs=0.3)  # in standard deviations


def test_a_normal_law_with_the_same_moments_is_told_apart() -> None:
    mixture = Mixture(shape=SHAPE, spacing=0.8, std=0.1)
    normal_law = Moments(prior=mixture)
    found = metrics(generation(prior=normal_law, reference=mixture, points=2000))
    assert found["sliced_wasserstein_z"] > 5
    assert found["covariance_error"] < 0.1
    # The divergence from the normal law: the difference of the entropies.
    x = mixture.sample(20_000, stream("x", 0))
    mixed, alone = mixture.log_density(x), normal_law.log_density(x)
    assert mixed is not None
    assert alone is not None
    assert found["kl"] == pytest.approx((mixed - alone).mean().item(), abs=0.1)
    assert found["nll"] == pytest.approx(-alone.mean().item(), abs=0.1)
    assert found["log_density_error"] > found["kl"]


def test_the_sampler_and_the_likelihood_follow_the_prior_and_are_counted_apart() -> None:
    module = generation(
        sampler=Heun(levels=Karras(steps=20)), likelihood=Likelihood(sde=VP(t_min=1e-5)), points=16, batch_size=400
    )
    found = metrics(module)
    assert abs(found["sliced_wasserstein_z"]) < 3
    assert abs(found["kl"]) < found["log_density_error"] < 1e-2
    cost = module.cost()
    assert cost["network_evaluations"] == 39  # of one batch
    assert cost["backward_passes"] == 2 * cost["likelihood_evaluations"]
    assert set(module.figures()) == {"samples"}
    assert module.warnings() == []


class Data(Prior):
    """A prior without a density, whose second entry is always the same."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("at", torch.zeros(1))

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        raise NotImplementedError

    def sample(self, n: int, generator: Generator) -> Tensor:
        x = normal((n, *SHAPE), generator, torch.zeros(1, dtype=torch.float64))
        x[:, 1] = 4.0
        return x


def test_what_is_not_known_is_missing_and_what_does_not_vary_is_left_out() -> None:
    module = generation(prior=Data())
    found = metrics(module)
    assert not {"nll", "kl", "log_density_error"} & set(found)
    assert "no likelihood" in module.warnings()[0]
    assert abs(found["sliced_wasserstein_z"]) < 3
    module = generation(reference=Data(), points=5)
    assert "nll" in metrics(module)
    assert "no exact density" in module.warnings()[0]


def test_noise_with_a_covariance_is_sampled_where_it_is_white() -> None:
    prior = Gaussian(shape=SHAPE, noise=Exponential(shape=SHAPE, length=0.5))
    found = metrics(generation(prior=prior, sampler=Heun(levels=Karras(steps=40))))
    assert abs(found["sliced_wasserstein_z"]) < 3
    assert found["covariance_error"] < 0.1


def test_another_shape_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"diffusion.shape is \[1, 2\]; the fields are \[2, 1\]"):
        metrics(generation(shape=(1, 2)))


def test_images_lines_and_points_are_drawn() -> None:
    for shape, marks in (((4, 4, 1), "images"), ((12, 1), "lines"), ((4, 1), "collections")):
        module = generation(shape=shape, prior=Gaussian(shape=shape), samples=50, sets=2)
        metrics(module)
        figure = module.figures()["samples"]
        assert [panel.get_title() for panel in figure.axes] == ["exact", "generated"]
        assert all(getattr(panel, marks) for panel in figure.axes)


def test_the_default_config_composes() -> None:
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", ["+diffusion=generation", "diffusion/prior=mixture_unit"])
    seed_everything(0, verbose=False)
    found = metrics(instantiate(config.diffusion, samples=200, points=8, _convert_="all"))
    assert found["log_density_error"] < 1e-2


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Generation, samples=1, sets=1, points=0) == {}
