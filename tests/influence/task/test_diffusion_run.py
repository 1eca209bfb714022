from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.super_resolution import SuperResolution
from sciml.diffusion.preconditioner.edm import EDM
from sciml.diffusion.solver.dds import DDS
from sciml.diffusion.solver.diffpir import DiffPIR
from sciml.diffusion.training import Denoising
from sciml.errors import ConfigError, UsageError
from sciml.influence.attributor.ekfac import EKFAC
from sciml.influence.attributor.ggn import GGN
from sciml.influence.attributor.identity import Identity
from sciml.influence.base import NetworkTask
from sciml.influence.correlation import pearson
from sciml.influence.prior_measurement.base import PriorMeasurement
from sciml.influence.prior_measurement.denoising import DenoisingLoss
from sciml.influence.prior_measurement.posterior_mean import PosteriorMean
from sciml.influence.prior_measurement.reconstruction import Reconstruction
from sciml.influence.task.diffusion_run import DiffusionRun
from sciml.run import load


def task(run: Path, measurement: PriorMeasurement | None = None, **settings: Any) -> DiffusionRun:
    return DiffusionRun(run=str(run), measurement=measurement or DenoisingLoss(fields=[0], draws=4), **settings)


def module_of(run: Path) -> Denoising:
    """The run with its averaged weights, in float64."""
    module = load(run)
    assert isinstance(module, Denoising)
    with module.average.applied():
        averaged = {name: value.clone() for name, value in module.denoiser.state_dict().items()}
    module.denoiser.load_state_dict(averaged)
    module.denoiser.double()
    return module


def noise(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=stream(f"attribution/{name}", 0), dtype=torch.float64)


@pytest.mark.parametrize("run", ["prior_run", "digits_run"])
def test_the_losses_are_those_of_the_training_at_the_same_noise(run: str, request: pytest.FixtureRequest) -> None:
    folder, draws = request.getfixturevalue(run), 3
    found, module = task(folder, draws=draws), module_of(folder)
    train = module.dataset.splits()["train"].double()
    expected = torch.zeros(len(train), dtype=torch.float64)
    for i, x in enumerate(train):
        drawn = noise(f"noise {i}", (draws, *x.shape))
        for k in range(draws):
            uniform = torch.tensor([(k + 0.5) / draws], dtype=torch.float64)
            expected[i] += module._error(x[None], uniform, drawn[k : k + 1]).detach() / (draws * len(train))
    torch.testing.assert_close(found.losses(found._zero()), expected)


def test_with_symmetries_each_draw_has_its_own(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = task(digits_run, draws=8)
    monkeypatch.setattr("sciml.diffusion.training.Denoising.dihedral", True, raising=False)
    monkeypatch.setattr("sciml.influence.task.diffusion_run.attributed", lambda *_, **__: symmetric(digits_run))
    turned = task(digits_run, draws=8)
    images = plain.clean[0, 0, ..., 0]
    eight = [t for f in (images, images.flip(0)) for t in (torch.rot90(f, k) for k in range(4))]
    seen = [min(range(8), key=lambda j, x=x: float((eight[j] - x).abs().max())) for x in turned.clean[0, ..., 0]]
    assert all(torch.equal(eight[j], x) for j, x in zip(seen, turned.clean[0, ..., 0], strict=True))
    assert len(set(seen)) > 3
    torch.testing.assert_close(turned.x - turned.clean, plain.x - plain.clean)


def symmetric(run: Path) -> Denoising:
    module = load(run)
    assert isinstance(module, Denoising)
    module.dihedral = True
    return module


def test_the_matrix_is_that_of_the_outputs_whose_squares_are_the_losses(digits_run: Path) -> None:
    """By the general way of a network, all draws of an example at once."""
    found = task(digits_run, draws=2)
    params = found._zero()
    rows = torch.cat(list(NetworkTask.blocks(found, params)))
    assert rows.shape == (6 * 2 * 64, found.d)
    weights = torch.rand(6, dtype=torch.float64)
    expected = rows.T @ (weights[found.owner, None] * rows)
    torch.testing.assert_close(found.moments(params, weights), expected)
    torch.testing.assert_close(found.jacobian(params), rows)
    torch.testing.assert_close(
        found.losses(params), (found.outputs(params, found.x) - found.y).flatten(1).square().sum(1) / 2
    )


def test_measurements_are_errors_of_the_denoiser_on_fields_of_the_test_split(digits_run: Path) -> None:
    module = module_of(digits_run)
    test = module.dataset.splits()["test"].double()
    numbers, level, draws = [3, 1, 4], 0.7, 2
    one, loss = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for j, i in enumerate(numbers):
        for k, drawn in enumerate(noise(f"query {i}", (draws, *test.shape[1:]))):
            denoised = module.denoiser.mean((test[i] + level * drawn)[None], level)[0]
            one[j] += (denoised - test[i]).square().mean().detach() / draws
            uniform = torch.tensor([(k + 0.5) / draws], dtype=torch.float64)
            loss[j] += module._error(test[i][None], uniform, drawn[None]).detach() / draws
    groups = [3, [1, 4]]
    mean = task(digits_run, PosteriorMean(fields=groups, level=level, draws=draws))
    expected = torch.stack([one[0], one[1:].mean()]).sqrt()
    torch.testing.assert_close(mean.measure(mean._zero()), expected)
    assert mean.measurement.labels == (
        "error of the posterior mean at noise 0.7, test field 3",
        "error of the posterior mean at noise 0.7, test fields 1, 4",
    )
    denoising = task(digits_run, DenoisingLoss(fields=groups, draws=draws))
    torch.testing.assert_close(denoising.measure(denoising._zero()), torch.stack([loss[0], loss[1:].mean()]))


# ---------------------------------------------------------------- a linear denoiser: ridge regression


class Affine(nn.Module):
    """F(x) = W x + b of points with three channels, whatever the noise."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.layer(x)


class Points(Dataset):
    shape, names, periodic = (1, 3), ("a", "b", "c"), (False,)

    def splits(self) -> dict[str, Tensor]:
        spread = torch.tensor([2.0, 1.0, 0.3])
        return {
            name: spread * torch.randn(n, 1, 3, generator=stream(name, 0)) for name, n in (("train", 9), ("test", 2))
        }


def test_a_linear_denoiser_is_a_ridge_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings and scores against the normal equations, written down from the definition of the loss."""
    torch.manual_seed(0)
    edm = EDM(sigma_data=0.8)
    made = Denoising(
        dataset=Points(),
        network=lambda n, m, *, conditions: Affine(),
        preconditioner=edm,
        optimizer=torch.optim.Adam,  # type: ignore[arg-type]
        ema=0.0,
    )
    monkeypatch.setattr("sciml.influence.task.diffusion_run.attributed", lambda *_, **__: made)
    draws, decay = 3, 0.07
    measurement = PosteriorMean(fields=[0, 1], level=0.5, draws=4)
    found = DiffusionRun(run="", measurement=measurement, draws=draws, decay=decay, tolerance=1e-12)
    initial = torch.cat([p.detach().double().flatten() for p in made.denoiser.parameters()])

    def regression(x: Tensor, sigma: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """D(x + sigma noise) - x as a matrix times the weights, and a vector."""
        skip, out, into, _ = edm.coefficients(sigma)
        noisy = x + sigma * drawn
        features = torch.cat([torch.kron(torch.eye(3, dtype=torch.float64), into * noisy[None]), torch.eye(3)], dim=1)
        return out * features, skip * noisy - x

    train = Points().splits()["train"].double()[:, 0]
    matrices, vectors = [], []
    for i, x in enumerate(train):
        drawn = noise(f"noise {i}", (draws, 1, 3))[:, 0]
        for k in range(draws):
            sigma = edm.levels(torch.tensor((k + 0.5) / draws, dtype=torch.float64))
            root = (2 * edm.weight(sigma) / (len(train) * draws * 3)).sqrt()
            matrix, vector = regression(x, sigma, drawn[k])
            matrices.append(root * matrix)
            vectors.append(root * (vector + matrix @ initial))
    a = torch.stack(matrices).reshape(9, draws * 3, 12)
    b = torch.stack(vectors).reshape(9, draws * 3)

    def optimum(weights: Tensor) -> Tensor:
        normal = torch.einsum("i,ird,ire->de", weights, a, a) + decay * torch.eye(12, dtype=torch.float64)
        return -torch.linalg.solve(normal, torch.einsum("i,ird,ir->d", weights, a, b))

    def measured(theta: Tensor) -> Tensor:
        errors = []
        for i, x in enumerate(Points().splits()["test"].double()[:, 0]):
            parts = [
                regression(x, torch.tensor(0.5, dtype=torch.float64), d) for d in noise(f"query {i}", (4, 1, 3))[:, 0]
            ]
            errors.append(torch.stack([m @ (initial + theta) + v for m, v in parts]).square().mean().sqrt())
        return torch.stack(errors)

    weights = torch.ones(4, 9, dtype=torch.float64)
    weights[1, 2], weights[2, :4], weights[3] = 0.0, 0.0, torch.rand(9, dtype=torch.float64)
    fitted = found.fit(weights)
    flat = torch.cat([p.flatten(1) for p in fitted.values()], dim=1)
    torch.testing.assert_close(flat, torch.stack([optimum(w) for w in weights]), rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(found.measured(fitted), torch.stack([measured(optimum(w)) for w in weights]))

    params = {name: p[0] for name, p in fitted.items()}
    expected = -torch.autograd.functional.jacobian(lambda w: measured(optimum(w)), weights[0])
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(GGN(damping=0.0)(found, params), expected, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------- attributors on convolutions


def test_the_attributors_of_networks_see_all_of_a_denoiser(digits_run: Path) -> None:
    """Draws are tokens, measurements are none of its losses, and no parameter is left out."""
    found = task(digits_run, PosteriorMean(fields=[0, 1, [2, 3]], draws=4), draws=2)
    params = found._zero()
    query, train = found.query_gradients(params), found.gradients(params)
    assert bool((train.abs().sum(0) > 0).float().mean() > 0.95)
    torch.testing.assert_close(Identity()(found, params), query @ train.T)
    exact = GGN()(found, params)
    ekfac = EKFAC(curvature="exact")(found, params)
    assert float(pearson(ekfac, exact).mean()) > 0.8


def test_the_most_and_the_least_helpful_fields_are_drawn(digits_run: Path, prior_run: Path) -> None:
    found = task(digits_run, DenoisingLoss(fields=[0, 1, [2, 3]], draws=2), draws=2)
    scores = torch.arange(6.0).expand(3, 6) - 2
    figures = found.figures(scores)
    assert set(figures) == {"fields_0", "fields_1", "fields_2"}
    titles = [axes.get_title() for axes in figures["fields_0"].axes]
    assert titles[:3] == ["query", "no. 5: +3.0e+00", "no. 4: +2.0e+00"]
    shown = torch.as_tensor(figures["fields_0"].axes[1].images[0].get_array().data).T
    torch.testing.assert_close(shown, found.clean[5, 0, ..., 0])
    plane = task(prior_run)
    (figure,) = plane.figures(torch.linspace(-1, 1, 8)[None]).values()
    points, colours = figure.axes[0].collections[0].get_offsets(), figure.axes[0].collections[0].get_array()
    for point, colour in zip(points, colours, strict=True):
        i = int((plane.clean[:, 0, 0] - torch.tensor(point)).norm(dim=1).argmin())
        assert colour == pytest.approx(float(torch.linspace(-1, 1, 8)[i]))


@pytest.mark.parametrize(
    ("measurement", "message"),
    [
        ({"fields": [0, 5000]}, "there is no field 5000; the run's test split has 0 to 1590"),
        ({"fields": [[]]}, "fields must name one or more"),
    ],
)
def test_fields_that_the_run_does_not_have(measurement: dict[str, Any], message: str, digits_run: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        task(digits_run, DenoisingLoss(**measurement))


def test_a_run_that_trained_no_denoiser(digits_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sciml.influence.task.diffusion_run.attributed", lambda *_, **__: nn.Linear(1, 1))
    with pytest.raises(UsageError, match="choose a run that trained a denoiser"):
        task(digits_run)


# ---------------------------------------------------------------- reconstructions


def reconstruction(solver: Any, **settings: Any) -> Reconstruction:
    measurement = SuperResolution(shape=(8, 8, 1), factor=2, noise_std=0.1)
    return Reconstruction(
        **{"fields": [0, [1, 2]], "measurement": measurement, "solver": solver, "draws": 2, **settings}
    )


def test_reconstructions_are_those_of_the_solver_and_differentiated_through_it(digits_run: Path) -> None:
    solver = DiffPIR(levels=Karras(steps=4), weight=1.0, zeta=0.3)
    found = task(digits_run, reconstruction(solver), draws=2)
    module = module_of(digits_run)
    truth = module.dataset.splits()["test"][:3].double()
    operator = SuperResolution(shape=(8, 8, 1), factor=2, noise_std=0.1)
    noise_of = torch.stack([noise(f"observation {i}", (16,)) for i in range(3)])
    y = (operator(truth) + 0.1 * noise_of).repeat_interleave(2, dim=0)
    with torch.no_grad():
        samples = solver(y, operator, module.prior(), (6, 8, 8, 1), stream("attribution/solver", 0))
    squares = (samples.unflatten(0, (3, 2)).mean(1) - truth).square().flatten(1).mean(1)
    expected = torch.stack([squares[0], squares[1:].mean()]).sqrt()
    torch.testing.assert_close(found.measure(found._zero()), expected)
    generator = torch.Generator().manual_seed(0)
    along = {name: torch.randn(p.shape, generator=generator, dtype=p.dtype) for name, p in found._zero().items()}
    flat = torch.cat([p.flatten() for p in along.values()])
    moved = [found.measure({name: h * p for name, p in along.items()}) for h in (1e-5, -1e-5)]
    differences = (moved[0] - moved[1]) / 2e-5
    torch.testing.assert_close(found.query_gradients(found._zero()) @ flat, differences, rtol=1e-5, atol=1e-8)


def test_solvers_that_cannot_be_differentiated_are_refused(digits_run: Path) -> None:
    with pytest.raises(ConfigError, match="DDS cannot be differentiated"):
        task(digits_run, reconstruction(DDS(levels=Karras(steps=3))))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(DenoisingLoss, fields=[[1, -1]], draws=0) == {}
    assert accepted(PosteriorMean, level=0.0, draws=0) == {}
    assert accepted(Reconstruction, fields=[-1], draws=0) == {}
    assert accepted(DiffusionRun, draws=0) == {}
