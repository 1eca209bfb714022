"""A measurement of one's own: what is found without the truth is what brute force finds, in the user's own units."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import seed_everything
from modules import metrics

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.observed import Observed
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.solver.exact import Exact
from sciml.diffusion.standardised import standardised
from sciml.diffusion.units import Units
from sciml.errors import UsageError

SHAPE = (6, 1)
KELVIN = Units([20.0], [300.0])


class Deaf(Solver):
    """Answers with the prior."""

    def __call__(
        self,
        y: torch.Tensor,
        measurement: Measurement,
        prior: Prior,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> torch.Tensor:
        return prior.sample(shape[0], generator)


def observed(path: Path, *, noise_std: float = 2.0, solver: Any = None, **parameters: Any) -> Observed:
    seed_everything(0, verbose=False)
    prior = Gaussian(shape=SHAPE)
    prior.units = KELVIN
    seen = Points(shape=SHAPE, sensors=3, noise_std=noise_std)
    return Observed(shape=SHAPE, prior=prior, measurement=seen, solver=solver or Exact(), path=str(path), **parameters)


def measured(n: int, std: float | torch.Tensor) -> np.ndarray:
    """What fields of the prior, in kelvin, give with noise ``(n, 3)``."""
    fields = KELVIN.fields(Gaussian(shape=SHAPE).sample(n, stream("truth", 5)))
    y = Points(shape=SHAPE, sensors=3, noise_std=1.0)(fields)
    return (y + std * normal(tuple(y.shape), stream("noise", 5), y)).numpy()


@pytest.mark.parametrize(
    ("scale", "offset", "std"), [([2.0, 2.0], [1.0, -3.0], None), ([2.0, 5.0], [0.0, 3.0], None), ([1.0], [0.0], 0.3)]
)
def test_a_measurement_in_other_units_says_the_same(scale: list[float], offset: list[float], std: float | None) -> None:
    shape, units = (4, 2), Units(scale, offset)
    a = Points(shape=shape, sensors=5, noise_std=0.1)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=stream("x", 0))
    y = a(units.fields(x))
    each = None if std is None else torch.full((5,), std, dtype=torch.float64)
    seen, known, weight = standardised(a, y, units, shape, each)
    torch.testing.assert_close(seen(x), known)
    # Noise of the size of the user's is noise of the size that the measurement now has.
    torch.testing.assert_close(weight * (a.noise_std if std is None else std), torch.full_like(weight, seen.noise_std))
    v = torch.randn(3, 5, dtype=torch.float64, generator=stream("v", 0))
    torch.testing.assert_close((seen(x) * v).sum(1), (x * seen.adjoint(v)).flatten(1).sum(1))  # type: ignore[attr-defined]
    assert isinstance(seen, Points) is (len(set(scale)) == 1 and std is None)
    assert a.noise_std == 0.1


@pytest.mark.parametrize("own", [False, True])
def test_the_posterior_is_that_of_the_users_units_and_noise(tmp_path: Path, own: bool) -> None:
    std = np.array([0.5, 2.0, 8.0]) if own else np.full(3, 2.0)
    y = measured(2, 1.0)
    np.savez(tmp_path / "mine.npz", y=y, sd=std)
    module = observed(tmp_path / "mine.npz", noise="sd" if own else None, samples=400)
    found = metrics(module)
    # Conditioning by the precision matrix, all of it in kelvin.
    prior = Gaussian(shape=SHAPE)
    moments = prior.posterior(torch.zeros(1, *SHAPE, dtype=torch.float64), float("inf"))
    assert moments.covariance is not None
    covariance = 20.0**2 * moments.covariance.dense(moments.mean[0]).numpy()
    a = module.measurement(torch.eye(6, dtype=torch.float64)[..., None]).T.numpy()
    posterior = np.linalg.inv(np.linalg.inv(covariance) + a.T @ np.diag(std**-2) @ a)
    mean = 300 + (posterior @ a.T @ np.diag(std**-2) @ (y - 300).T).T
    arrays = {name: part.numpy() for name, part in module.arrays()["posterior"].items()}
    np.testing.assert_allclose(arrays["exact_mean"][..., 0], mean)
    np.testing.assert_allclose(arrays["exact_std"][0, :, 0], np.sqrt(posterior.diagonal()))
    np.testing.assert_allclose(arrays["mean"], arrays["exact_mean"], atol=5 * arrays["exact_std"].max() / 20)
    np.testing.assert_allclose(arrays["fitted"], arrays["samples"].mean(1)[..., 0] @ a.T, rtol=1e-5)
    assert np.array_equal(arrays["y"], y)
    assert found["mean_error_sd"] == pytest.approx(400**-0.5, rel=0.6)


def test_samples_of_the_posterior_miss_the_measurement_by_its_noise(tmp_path: Path) -> None:
    np.save(tmp_path / "y.npy", measured(3000, 20.0))
    right = observed(tmp_path / "y.npy", samples=4, noise_std=20.0)
    assert metrics(right)["misfit"] == pytest.approx(1, abs=0.04)
    assert not any("misfit" in line for line in right.warnings())
    for module, says in (
        (observed(tmp_path / "y.npy", samples=4, noise_std=10.0), "more than its noise"),
        (observed(tmp_path / "y.npy", samples=4, noise_std=40.0), "nearer to y"),
        (observed(tmp_path / "y.npy", samples=4, noise_std=20.0, solver=Deaf()), "more than its noise"),
    ):
        metrics(module)
        assert any(says in line for line in module.warnings()), module.warnings()


def test_observations_are_one_or_several_and_in_any_shape(tmp_path: Path) -> None:
    y = measured(4, 1.0)
    results = []
    for name, array in (("one", y[0]), ("row", y[:1]), ("column", y[0][:, None]), ("all", y)):
        np.savez(tmp_path / f"{name}.npz", seen=array)
        module = observed(tmp_path / f"{name}.npz", y="seen", samples=1, batch_size=2)
        assert {"misfit"} == metrics(module).keys()
        results.append(module.arrays()["posterior"])
        assert set(module.figures()) == {"posterior", "fit"}
    assert [len(arrays["y"]) for arrays in results] == [1, 1, 1, 4]
    assert torch.equal(results[0]["exact_mean"], results[2]["exact_mean"])
    torch.testing.assert_close(results[3]["exact_mean"][:1], results[0]["exact_mean"])


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"z": np.zeros(3)}, "no array y; there is z"),
        ({"y": np.zeros(4)}, r"shape \(4,\), expected \(3,\) or \(observations, 3\): Points of a field \(6, 1\)"),
        ({"y": np.zeros((0, 3))}, "expected"),
        ({"y": np.array([1.0, np.nan, 2.0])}, r"y: the number at \[1\] is not finite"),
        ({"y": np.zeros(3), "sd": np.ones(2)}, r"sd: shape \(2,\), expected \(3,\)"),
        ({"y": np.zeros(3), "sd": np.array([1.0, 0.0, 1.0])}, "sd: a standard deviation of 0"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=says):
        observed(tmp_path / "mine.npz", noise="sd" if "sd" in arrays else None)
