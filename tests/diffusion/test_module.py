from __future__ import annotations

from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from lightning.pytorch import seed_everything
from modules import metrics
from refusals import accepted

from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.module import Inverse
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.score.channels import Channels
from sciml.diffusion.solver.exact import Exact

SHAPE = (16, 1)


def inverse(solver: Solver, *, noise_std: float = 0.1, **parameters: Any) -> Inverse:
    seed_everything(0, verbose=False)
    measurement = Points(shape=SHAPE, sensors=4, noise_std=noise_std)
    return Inverse(shape=SHAPE, prior=Gaussian(shape=SHAPE), measurement=measurement, solver=solver, **parameters)


class Spy(Solver):
    """Keeps the observations it is asked about, and answers with the prior."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def __call__(
        self,
        y: torch.Tensor,
        measurement: Measurement,
        prior: Prior,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> torch.Tensor:
        self.seen.append(y)
        measurement(prior.sample(3, generator))
        return prior.sample(shape[0], generator)


def test_exact_samples_are_calibrated_and_prior_samples_are_not() -> None:
    exact, floor = (metrics(inverse(solver, problems=64, samples=39)) for solver in (Exact(), Spy()))
    assert exact["mean_error_sd"] == pytest.approx(39**-0.5, rel=0.1)
    assert exact["variance_ratio"] == pytest.approx(1, rel=0.1)
    assert exact["coverage_50"] == pytest.approx(0.5, abs=0.06)
    assert exact["coverage_90"] == pytest.approx(0.9, abs=0.06)
    # Error of a sample and of the mean: sqrt(2) and sqrt(1 + 1/S) times the same posterior spread.
    assert exact["rel_l2_sample"] / exact["rel_l2_mean"] == pytest.approx((2 / (1 + 1 / 39)) ** 0.5, rel=0.1)
    assert floor["mean_error_sd"] > 1
    assert floor["variance_ratio"] > 2
    assert floor["rel_l2_mean"] > 2 * exact["rel_l2_mean"]


def test_every_solver_sees_the_same_observations_however_they_are_batched() -> None:
    one, other = Spy(), Spy()
    metrics(inverse(one, problems=6, samples=19))
    metrics(inverse(other, problems=6, samples=19, batch_size=2 * 19))
    assert [len(y) for y in other.seen] == [38, 38, 38]
    assert torch.equal(one.seen[0], torch.cat(other.seen))
    assert torch.equal(one.seen[0][0], one.seen[0][18])  # the same observation for all samples of a problem
    assert not torch.equal(one.seen[0][0], one.seen[0][19])


def test_the_noise_has_the_declared_size() -> None:
    quiet, loud = Spy(), Spy()
    metrics(inverse(quiet, problems=400, samples=19, noise_std=1e-9))
    metrics(inverse(loud, problems=400, samples=19, noise_std=0.3))
    noise = (loud.seen[0] - quiet.seen[0])[::19]
    assert noise.std().item() == pytest.approx(0.3, rel=0.1)


def test_a_seed_gives_the_same_row_twice_and_costs_are_counted_for_the_solver_alone() -> None:
    module = inverse(Spy(), problems=4, samples=19, batch_size=19)
    assert metrics(module) == metrics(inverse(Spy(), problems=4, samples=19, batch_size=19))
    assert module.cost() == {"operator_calls": 1.0, "network_evaluations": 0.0, "backward_passes": 0.0}
    assert set(module.figures()) == {"posterior", "calibration"}
    assert module.warnings() == []


class Squares(Measurement):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3].square()


def test_without_an_exact_posterior_the_row_says_so() -> None:
    module = Inverse(
        shape=SHAPE,
        prior=Gaussian(shape=SHAPE),
        measurement=Squares(noise_std=0.1),
        solver=Spy(),
        problems=2,
        samples=19,
    )
    assert "variance_ratio" not in metrics(module)
    assert "no exact posterior" in module.warnings()[0]


def test_what_needs_more_samples_is_left_out() -> None:
    errors = {"rel_l2_sample", "rel_l2_mean"}
    assert set(metrics(inverse(Exact(), samples=1))) == errors
    both = set(metrics(inverse(Exact(), samples=2)))
    assert both > errors | {"crps", "spread_skill", "variance_ratio"}
    assert not both & {"coverage_50", "coverage_90"}


def test_a_score_is_taken_of_samples_and_of_their_mean() -> None:
    score = Channels(names=["a"], middle={"a": 0.0})
    found = metrics(inverse(Exact(), samples=4, score=score))
    for kind in ("sample", "mean"):
        assert found[f"rel_l2_a_{kind}"] == found[f"rel_l2_{kind}"]
        assert 0 < found[f"error_rate_a_{kind}"] < 0.5


@pytest.mark.parametrize("solver", ["exact", "unconditional"])
def test_the_baseline_experiment_composes_and_runs(solver: str) -> None:
    with initialize_config_module("sciml.conf", version_base="1.3"):
        config = compose("config", ["+experiment=baseline/gaussian", f"diffusion/solver={solver}"])
    seed_everything(0, verbose=False)
    found = metrics(instantiate(config.diffusion, problems=4, _convert_="all"))
    assert set(found) == {
        *("rel_l2_sample", "rel_l2_mean", "coverage_50", "coverage_90", "mean_error_sd", "variance_ratio"),
        *("crps", "spread_skill", "sliced_wasserstein", "variance_error"),
    }


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Inverse, samples=0, problems=0) == {}
