from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.noise.exponential import Exponential
from sciml.diffusion.prior.source_solution import SourceSolution
from sciml.errors import ConfigError
from sciml.folder import OUTPUTS
from sciml.linalg.covariance import FactoredCovariance

POISSON: dict[str, Any] = {"shape": (6, 6, 2), "scale": (0.29, 0.004)}
HELMHOLTZ: dict[str, Any] = {"shape": (7, 7, 2), "scale": (0.29, 0.004), "k": 1.0, "zero_edges": True}
CASES = pytest.mark.parametrize("case", [POISSON, HELMHOLTZ], ids=["poisson", "helmholtz"])


def dense(case: dict[str, Any]) -> Tensor:
    """The covariance point by point: cosines summed one by one, and the five-point system solved as it stands."""
    n, k = case["shape"][0], case.get("k", 0.0)
    centre = (torch.arange(n, dtype=torch.float64) + 0.5) * math.pi / n
    modes = []
    for i in range(n):
        for j in range(n):
            if i or j:
                norm = math.sqrt((2 - (i == 0)) * (2 - (j == 0))) / n
                size = n * 3 / (math.pi**2 * (i * i + j * j) + 9)
                modes.append(size * norm * torch.outer(torch.cos(i * centre), torch.cos(j * centre)))
    a = torch.stack(modes)
    if case.get("zero_edges"):
        a[:, [0, -1]] = a[:, :, [0, -1]] = 0
    system, right = torch.eye(n * n, dtype=torch.float64), a.clone()
    right[:, [0, -1]] = right[:, :, [0, -1]] = 0
    for i in range(1, n - 1):
        for j in range(1, n - 1):
            row = i * n + j
            system[row, row] = k**2 - 4 * (n - 1) ** 2
            system[row, [row - 1, row + 1, row - n, row + n]] = float((n - 1) ** 2)
    u = torch.linalg.solve(system, right.flatten(1).T).T.reshape(a.shape)
    x = torch.stack([a / case["scale"][0], u / case["scale"][1]], -1).flatten(1)
    return x.T @ x


@CASES
def test_the_law_is_that_of_the_source_and_its_five_point_solution(case: dict[str, Any]) -> None:
    prior, expected = SourceSolution(**case), dense(case)
    mean, covariance = prior.posterior(torch.ones(1, *case["shape"], dtype=torch.float64), math.inf)
    assert covariance is not None
    assert mean.abs().max() == 0
    torch.testing.assert_close(covariance.dense(mean[0]), expected, rtol=1e-10, atol=1e-10)
    assert torch.linalg.matrix_rank(expected, hermitian=True) == (35 if case is POISSON else 25)


@CASES
@pytest.mark.parametrize("sigma", [0.01, 1.0, 30.0])
def test_moments_at_a_noise_level_agree_with_the_matrix(case: dict[str, Any], sigma: float) -> None:
    prior, whole = SourceSolution(**case), dense(case)
    x = torch.randn(3, *case["shape"], dtype=torch.float64, generator=stream("x", 0))
    mean, covariance = prior.posterior(x, sigma)
    assert isinstance(covariance, FactoredCovariance)
    values, vectors = torch.linalg.eigh(whole)
    gain = vectors * (values / (values + sigma**2)) @ vectors.T
    torch.testing.assert_close(mean.flatten(1), x.flatten(1) @ gain, rtol=0, atol=1e-10)
    conditional = sigma**2 * gain
    identity = torch.eye(len(gain), dtype=torch.float64).reshape(-1, *case["shape"])
    root = covariance.root(identity).flatten(1)
    for found in (covariance.dense(x[0]), root.T @ root):
        torch.testing.assert_close(found, conditional, rtol=0, atol=1e-10 * sigma**2)
    torch.testing.assert_close(covariance.variance().flatten(), conditional.diagonal(), rtol=0, atol=1e-10)


@CASES
def test_noise_with_a_covariance_takes_the_place_of_white_noise(case: dict[str, Any]) -> None:
    noise = Exponential(shape=case["shape"], length=0.3, nugget=0.1)
    prior, whole = SourceSolution(**case, noise=noise), dense(case)
    x = torch.randn(3, *case["shape"], dtype=torch.float64, generator=stream("x", 0))
    mean, covariance = prior.posterior(x, 0.7)
    assert covariance is not None
    added = 0.49 * noise.covariance().dense(x[0])
    gain = torch.linalg.solve(whole + added, whole)
    torch.testing.assert_close(mean.flatten(1), x.flatten(1) @ gain, rtol=0, atol=1e-10)
    torch.testing.assert_close(covariance.dense(x[0]), whole - whole @ gain, rtol=0, atol=1e-10)


@CASES
def test_samples_solve_the_equation(case: dict[str, Any]) -> None:
    x = SourceSolution(**case).sample(5, stream("truth", 0))
    a, u = x[..., 0] * case["scale"][0], x[..., 1] * case["scale"][1]
    n, inner = case["shape"][0], u[:, 1:-1, 1:-1]
    laplacian = u[:, 2:, 1:-1] + u[:, :-2, 1:-1] + u[:, 1:-1, 2:] + u[:, 1:-1, :-2] - 4 * inner
    residual = laplacian * (n - 1) ** 2 + case.get("k", 0.0) ** 2 * inner - a[:, 1:-1, 1:-1]
    assert residual.abs().max() < 1e-13
    assert u[:, [0, -1]].abs().max() == u[:, :, [0, -1]].abs().max() == 0
    assert (a[:, 0].abs().max() == 0) == (case is HELMHOLTZ)


def test_one_size_of_one_unit_is_that_of_the_published_data() -> None:
    """Statistics that the repository of FunDPS gives for the data of DiffusionPDE at 128 x 128."""
    for case, sizes in ((POISSON, (0.2919494, 0.00417478)), (HELMHOLTZ, (0.2844538, 0.00428004))):
        prior = SourceSolution(**(case | {"shape": (64, 64, 2), "scale": sizes}))
        covariance = prior.posterior(torch.zeros(1, 64, 64, 2, dtype=torch.float64), math.inf).covariance
        assert isinstance(covariance, FactoredCovariance)
        assert covariance.variance().mean((0, 1)).sqrt().tolist() == pytest.approx([1.0, 1.0], rel=0.03)


def test_the_exact_posterior_is_that_of_the_matrix() -> None:
    prior, whole = SourceSolution(**POISSON), dense(POISSON)
    points = Points(shape=(6, 6, 2), sensors=9, noise_std=0.01, channels=[1])
    y = points(prior.sample(2, stream("truth", 1)))
    gain = torch.linalg.solve(whole[points.index][:, points.index] + 1e-4 * torch.eye(9), whole[points.index]).T
    found = prior.exact(points, y)
    assert found is not None
    torch.testing.assert_close(found.mean.flatten(1), y @ gain.T)
    torch.testing.assert_close(found.variance.flatten(), (whole - gain @ whole[points.index]).diagonal())


def test_eigenvectors_are_kept_for_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 6, 6, 2, dtype=torch.float64)
    token = OUTPUTS.set(tmp_path)
    try:
        first = SourceSolution(**POISSON).posterior(x, 0.3).mean
        monkeypatch.setattr("torch.linalg.eigh", None)
        assert torch.equal(SourceSolution(**POISSON).posterior(x, 0.3).mean, first)
    finally:
        OUTPUTS.reset(token)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (6, 7, 2)}, r"n, n, 2"),
        ({"shape": (6, 6, 1)}, r"n, n, 2"),
        ({"k": math.sqrt(2 * (2 * 5 * math.sin(math.pi / 10)) ** 2)}, "prior.k"),
    ],
)
def test_impossible_problems_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SourceSolution(**(POISSON | change))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(SourceSolution, scale=[1.0, 0.0]) == {}
