from __future__ import annotations

import pytest
from refusals import accepted
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import Prior
from sciml.diffusion.likelihood import Likelihood
from sciml.diffusion.noise.exponential import Exponential
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.mixture import Mixture
from sciml.diffusion.process import SDE
from sciml.diffusion.sde.subvp import SubVP
from sciml.diffusion.sde.ve import VE
from sciml.diffusion.sde.vp import VP
from sciml.errors import ConfigError

# Each with so little noise at its end that the density of data with it is that of data without.
PROCESSES: dict[str, SDE] = {
    "ve": VE(sigma_min=1e-3, sigma_max=100.0),
    "vp": VP(t_min=1e-5),
    "subvp": SubVP(t_min=1e-4),
}


def error(found: Tensor, prior: Prior, x: Tensor) -> float:
    wanted = prior.log_density(x)
    assert wanted is not None
    return (found - wanted).abs().max().item()


@pytest.mark.parametrize("name", PROCESSES)
def test_of_a_mixture_it_is_the_exact_density(name: str) -> None:
    prior = Mixture(shape=(2, 1), components=3, spacing=0.8, std=0.1)
    x = prior.sample(24, stream("x", 0))
    x[:4] += 0.15  # also where there are few samples
    found = Likelihood(sde=PROCESSES[name])(prior, x, stream("likelihood", 0))
    assert error(found, prior, x) < 1e-2
    assert prior.backwards == 2 * prior.evaluations  # one row of the Jacobian each


@pytest.mark.parametrize("sde", [VE(t_min=0.4), VP(t_min=0.1), SubVP(t_min=0.1)], ids=["ve", "vp", "subvp"])
def test_what_it_finds_is_the_density_of_data_with_the_noise_of_the_flows_end(sde: SDE) -> None:
    prior = Gaussian(shape=(2, 1), std=0.5)
    x = prior.sample(3, stream("x", 0))
    wanted = prior.log_density(x, sde.sigma(sde.t_min))
    found = Likelihood(sde=sde)(prior, x, stream("likelihood", 0))
    assert (found - wanted).abs().max() < 1e-3
    assert error(found, prior, x) > 0.05


def test_the_estimated_divergence_is_right_on_average() -> None:
    prior = Gaussian(shape=(3, 1), mean=0.3, std=0.7)
    x = prior.sample(2, stream("x", 0))
    estimated = Likelihood(sde=VP(t_min=1e-5), exact_up_to=2, probes=1)
    found = estimated(prior, x.repeat(400, 1, 1), stream("likelihood", 0)).reshape(400, 2)
    wanted = prior.log_density(x)
    spread = found.std(0)
    assert (spread > 1e-3).all()  # an estimate it is
    assert ((found.mean(0) - wanted).abs() < 5 * spread / 20 + 1e-3).all()
    several = Likelihood(sde=VP(t_min=1e-5), exact_up_to=2, probes=16)(prior, x.repeat(100, 1, 1), stream("several", 0))
    assert (several.reshape(100, 2).std(0) / spread).mean() == pytest.approx(1 / 4, rel=0.3)


def test_batches_and_noise_with_a_covariance_change_nothing() -> None:
    x = Gaussian(shape=(3, 1)).sample(5, stream("x", 0))
    coloured = Gaussian(shape=(3, 1), noise=Exponential(shape=(3, 1), length=0.5))
    for prior in (Gaussian(shape=(3, 1)), coloured):
        found = Likelihood(sde=VP(t_min=1e-5), batch_size=2)(prior, x, stream("likelihood", 0))
        assert error(found, prior, x) < 1e-2


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="dopri5"):
        Likelihood(sde=VP(), method="rk4")


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Likelihood, probes=0, exact_up_to=-1) == {}
