"""Tiny finished runs of other families, to be attributed."""

from __future__ import annotations

from pathlib import Path

import pytest


def make(experiment: str, outputs: Path, *overrides: str) -> Path:
    from hydra import compose

    from sciml.cli.origin import hydra_session
    from sciml.cli.request import request_of
    from sciml.run import execute

    with hydra_session():
        given = [f"+experiment={experiment}", f"outputs={outputs}", "track.mode=disabled", *overrides]
        cfg = compose("config", given, return_hydra_config=True)
    return execute(request_of(cfg, dict(cfg.hydra.runtime.choices), [])).folder.path


PINN = [
    *("trainer.max_steps=40", "network.width=4", "network.depth=1", "pinn.n_points=14", "pinn.n_val=20"),
    *("pinn.problem.grid.x=4", "pinn.problem.grid.t=3", "pinn.problem.equation.beta=1.0", "pinn.log_every=20"),
    *("pinn.val_every=20", "pinn.weighting.weights={residual: 1.0, initial: 3.0, boundary: 2.0}"),
]
OPERATOR = [
    *("trainer.max_steps=40", "network.width=2", "network.depth=1", "network.kernel=3", "operator.batch_size=6"),
    *("operator.dataset.points=10", "operator.dataset.modes=4", "operator.dataset.n_train=12"),
    *("operator.dataset.n_val=7", "operator.dataset.n_test=5", "operator.dataset.steps=3"),
    *("operator.log_every=20", "operator.val_every=20"),
]
PRIOR = [
    *("trainer.max_steps=40", "network.width=2", "network.blocks=1", "diffusion.dataset.n_train=8"),
    *("diffusion.dataset.n_val=4", "diffusion.dataset.n_test=5", "diffusion.batch_size=6"),
    *("diffusion.log_every=20", "diffusion.val_every=20"),
]
DIGITS = [
    *("trainer.max_steps=30", "network.width=2", "diffusion.dataset.n_test=1591", "diffusion.batch_size=6"),
    "diffusion.sampler=null",
    *("diffusion.log_every=10", "diffusion.val_every=30", "diffusion.tested_at=[1.0]"),
]


@pytest.fixture(scope="session")
def pinn_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("attribution/convection", tmp_path_factory.mktemp("pinn"), *PINN)


@pytest.fixture(scope="session")
def operator_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("attribution/heat", tmp_path_factory.mktemp("operator"), *OPERATOR)


@pytest.fixture(scope="session")
def changes_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An operator that learned the change of a state, by another loss and rollout."""
    choices = ["operator/stepper=difference", "operator/rollout=teacher_forced", "operator/loss=mse"]
    outputs = tmp_path_factory.mktemp("changes")
    return make("attribution/heat", outputs, *OPERATOR, *choices, "operator.ema=0.5", "trainer.max_steps=20")


@pytest.fixture(scope="session")
def prior_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of points in a plane."""
    return make("song2021scoresde/score_vp", tmp_path_factory.mktemp("prior"), *PRIOR)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six images, by a network of convolutions and norms."""
    return make("attribution/digits", tmp_path_factory.mktemp("digits"), *DIGITS)
