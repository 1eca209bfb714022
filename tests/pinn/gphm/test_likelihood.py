"""The log joint against a naive transcription with dense matrices, and what it observes of a problem."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Generator, Tensor
from torch.func import hessian

from sciml.equation.advection import Advection
from sciml.equation.allen_cahn1d import AllenCahn1d
from sciml.equation.allen_cahn2d import AllenCahn2d
from sciml.equation.base import Equation
from sciml.errors import ConfigError
from sciml.pinn.condition import Condition, Dirichlet, Initial, Periodic
from sciml.pinn.gphm.field import ConditionalMean, Grid, product
from sciml.pinn.gphm.kernel import SpectralMixture
from sciml.pinn.gphm.likelihood import Covariance, Observations, negative_log_joint, observe

JITTER, WEIGHT = 1e-3, 7.0


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed), dtype=torch.float64)


def setting(equation: Equation, *n: int) -> tuple[Observations, list[SpectralMixture], Covariance, Tensor]:
    points = dict(zip(equation.inputs, n, strict=True))
    observations = observe(equation, {"boundary": Dirichlet(n=4)}, points, weight=WEIGHT)
    # Gaussian: automatic differentiation of the transcription is wrong at the kink of |d| in a Matérn covariance.
    kernels = [SpectralMixture(spectrum="gaussian", components=3, frequency=1.0 + axis) for axis in range(len(n))]
    return observations, kernels, Covariance(kernels, observations.axes, observations.top, JITTER), random(*n)


def dense(kernel: SpectralMixture, a: Tensor, b: Tensor) -> Tensor:
    return kernel(a.unsqueeze(1) - b)[0]


def mean(kernels: list[SpectralMixture], observations: Observations, values: Tensor, x: Tensor) -> Tensor:
    """The conditional mean at one point, from the matrix of the whole grid."""
    matrices = [dense(k, a, a) + JITTER * torch.eye(len(a)) for k, a in zip(kernels, observations.axes, strict=True)]
    rows = [dense(k, x[i : i + 1], a) for i, (k, a) in enumerate(zip(kernels, observations.axes, strict=True))]
    whole, row = matrices[0], rows[0]
    for matrix, following in zip(matrices[1:], rows[1:], strict=True):
        whole, row = torch.kron(whole, matrix), torch.kron(row, following)
    return (row @ torch.linalg.solve(whole, values.flatten())).squeeze()


@pytest.mark.parametrize(("equation", "n"), [(AllenCahn1d(), (7,)), (AllenCahn2d(), (4, 5))])
def test_the_joint_is_its_naive_transcription(equation: Equation, n: tuple[int, ...]) -> None:
    observations, kernels, covariance, values = setting(equation, *n)
    log_tau = torch.tensor([0.3, -0.8], dtype=torch.float64)
    terms, gaps = negative_log_joint(covariance, observations, values, log_tau)

    matrices = [dense(k, a, a) + JITTER * torch.eye(len(a)) for k, a in zip(kernels, observations.axes, strict=True)]
    whole = matrices[0] if len(n) == 1 else torch.kron(*matrices)
    u = values.flatten()
    prior = 0.5 * torch.logdet(whole) + 0.5 * u @ torch.linalg.solve(whole, u)
    torch.testing.assert_close(terms["prior"], prior, rtol=1e-9, atol=0)

    points, faces, missed, left = observations.points, 0, 0.0, 0.0
    f = partial(mean, kernels, observations, values)
    for x in points:
        m, truth = f(x), equation.reference(x.unsqueeze(0)).squeeze()
        laplace = hessian(f)(x).trace()
        g = hessian(lambda x: equation.reference(x.unsqueeze(0)).squeeze())(x).trace()
        left += float((laplace + m**3 - m - (g + truth**3 - truth)).detach() ** 2)
        if any(float(c) in (0.0, upper) for c, upper in zip(x, equation.upper, strict=True)):
            faces, missed = faces + 1, missed + float((m - truth).detach() ** 2)
    assert float(gaps["boundary"]) == pytest.approx(missed, rel=1e-7)
    assert float(gaps["equation"]) == pytest.approx(left, rel=1e-7)
    boundary = -WEIGHT * (0.5 * faces * 0.3 - 0.5 * math.exp(0.3) * missed)
    assert float(terms["boundary"].detach()) == pytest.approx(boundary, rel=1e-7)
    assert float(terms["equation"].detach()) == pytest.approx(
        -(0.5 * len(points) * -0.8 - 0.5 * math.exp(-0.8) * left), rel=1e-7
    )


@pytest.mark.parametrize(("equation", "n"), [(AllenCahn1d(), (7,)), (AllenCahn2d(), (4, 5))])
def test_the_mean_is_one_function_on_the_grid_and_off_it(equation: Equation, n: tuple[int, ...]) -> None:
    observations, kernels, covariance, values = setting(equation, *n)
    coefficients = covariance.coefficients(values)[0].detach()
    anywhere, on_grid = (
        ConditionalMean(kernels, observations.axes, coefficients),
        Grid(covariance.matrices, coefficients),
    )
    x = observations.points
    wanted = observations.operators
    for a, b in zip(anywhere.derivatives(x, *wanted), on_grid.derivatives(x, *wanted), strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-9, atol=1e-9)
    # Scattered points take another way than points that share coordinates.
    scattered = random(30, len(n), seed=1).abs() % 1
    one_by_one = torch.cat([anywhere(point.unsqueeze(0)) for point in scattered])
    torch.testing.assert_close(anywhere(scattered), one_by_one, rtol=1e-9, atol=1e-9)
    expected = mean(kernels, observations, values, scattered[3])
    torch.testing.assert_close(one_by_one[3, 0], expected.detach(), rtol=1e-8, atol=1e-8)


def test_a_product_has_a_matrix_for_every_axis() -> None:
    tensor, matrices = random(2, 3, 4), [random(5, 2), random(3, 3, seed=1), random(1, 4, seed=2)]
    expected = torch.einsum("ai,bj,ck,ijk->abc", *matrices, tensor)
    torch.testing.assert_close(product(matrices, tensor), expected)


def test_the_mean_interpolates_but_for_the_jitter() -> None:
    observations, kernels, covariance, values = setting(AllenCahn2d(), 6, 5)
    coefficients = covariance.coefficients(values)[0].detach()
    m = ConditionalMean(kernels, observations.axes, coefficients)(observations.points).reshape(6, 5)
    a, b = (dense(k, x, x).detach() for k, x in zip(kernels, observations.axes, strict=True))
    torch.testing.assert_close(m, a @ coefficients @ b, rtol=1e-9, atol=1e-9)
    without = a + JITTER * torch.eye(6)
    torch.testing.assert_close(values, without @ coefficients @ (b + JITTER * torch.eye(5)), rtol=1e-8, atol=1e-8)


def test_values_are_observed_on_the_faces_that_have_them() -> None:
    equation = Advection(beta=3.0)
    found = observe(equation, {"start": Initial(n=3), "ends": Dirichlet(n=4)}, {"t": 4, "x": 5}, weight=1.0)
    assert found.fixed[0].all()
    assert found.fixed[:, [0, -1]].all()
    assert not found.fixed[1:, 1:-1].any(), "nothing is known inside, nor at the end of time"
    torch.testing.assert_close(found.values, equation.reference(found.points[found.fixed.flatten()]).squeeze())
    assert found.top == (1, 1)


@pytest.mark.parametrize(
    ("conditions", "points", "says"),
    [
        ({}, {"x": 9}, "conditions is empty"),
        ({"around": Periodic(n=2, axis=0)}, {"x": 9}, "'around' is Periodic"),
        ({"boundary": Dirichlet(n=2)}, {"t": 9}, "each input"),
        ({"boundary": Dirichlet(n=2)}, {"x": 2}, "at least 3"),
    ],
)
def test_what_it_cannot_observe_it_refuses(conditions: dict[str, Condition], points: dict[str, int], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        observe(AllenCahn1d(), conditions, points, weight=1.0)
