"""A grid's jobs, and that composing them quickly gives what Hydra gives job by job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from helpers import USER
from hydra import compose
from hydra.errors import HydraException
from omegaconf import OmegaConf

from sciml.cli.expand import Composer, axes, expand, varying
from sciml.cli.origin import hydra_session, mistakes
from sciml.errors import UsageError

CONVECTION = "+experiment=daw2023r3/convection"


@pytest.fixture
def session() -> Iterator[None]:
    with hydra_session(f"{USER}/conf"):
        yield


def test_a_grid_in_hydras_syntax(session: None) -> None:
    grid = expand(["a=1", "b=x,y", "pinn/collocation=glob(r*)", "seed=range(0,4,2)", "d=choice(p,q)"])
    assert len(grid) == 2 * 2 * 2 * len({job[2] for job in grid})
    assert grid[0] == ["a=1", "b=x", "pinn/collocation=r3", "seed=0", "d=p"]
    assert grid[1][-1] == "d=q"
    assert varying(grid[0], grid) == grid[0][1:] if len({job[2] for job in grid}) > 1 else True
    assert axes(grid)["seed"] == ["0", "2"]
    assert "a" not in axes(grid)
    assert expand(["seed=range(2,2)"]) == []
    with pytest.raises(UsageError, match=r"lr=interval\(0,1\): a grid needs values that can be counted"):
        expand(["lr=interval(0,1)"])


@pytest.mark.parametrize(
    "grid",
    [
        [CONVECTION, "pinn/collocation=r3,fixed", "seed=1", "optimizer.lr=0.1,0.2"],
        # what refers to another value, by a key that varies, before and after it
        [CONVECTION, "seed=3,4", "track.group=g-${seed}", "trainer.max_steps=${seed}", "threads=2"],
        # the order counts: a group of values, one of it, and its removal
        [CONVECTION, "paper={title: a,year: 1}", "paper.title=b,c", "~paper.year", "+paper.note=${seed}"],
        [CONVECTION, "optimizer.lr=1,2", "optimizer=adam,soap"],
        [CONVECTION, "track.tags=[a],[b]", "++new.key=1"],
        ["+experiment=mine/toy", "+pinn.nan_at=1,null", "network.width=4,5", "track.mode=disabled"],
    ],
)
def test_as_hydra_composes(session: None, grid: list[str]) -> None:
    composer = Composer()
    for job in expand(grid):
        cfg, choices = composer(job)
        full = compose("config", job, return_hydra_config=True)
        expected = OmegaConf.masked_copy(full, [key for key in full if key != "hydra"])
        for resolve in (False, True):
            assert OmegaConf.to_container(cfg, resolve=resolve) == OmegaConf.to_container(expected, resolve=resolve)
        assert choices == full.hydra.runtime.choices


def test_what_one_job_merges_into_a_file_is_not_in_the_next(session: None) -> None:
    composer = Composer()
    assert composer([CONVECTION])[0].paper.year == 2023
    assert composer(["trainer=default"])[0].paper.year is None


def test_each_choice_of_files_is_composed_once(session: None, monkeypatch: pytest.MonkeyPatch) -> None:
    composed: list[Any] = []
    make = Composer._compose
    monkeypatch.setattr(Composer, "_compose", lambda self, files: composed.append(files) or make(self, files))
    monkeypatch.setattr("hydra.compose", lambda *_, **__: pytest.fail("Hydra's own node takes half of the time"))
    composer = Composer()
    for job in expand([CONVECTION, "pinn/collocation=r3,fixed", "seed=range(0,5)", "optimizer.lr=1,2"]):
        composer(job)
    assert len(composed) == 2


@pytest.mark.parametrize(
    "job",
    [
        [CONVECTION, "nothing.there=1"],
        [CONVECTION, "~seeds"],
        [CONVECTION, "+seed=1"],
        [CONVECTION, "trainer.max_steps.x=1"],
        [CONVECTION, "optimizer=nope"],
        [CONVECTION, "optimizer.lr=1,2"],
        [CONVECTION, "pinn/collocation=r3,fixed"],
        ["optimizer=adam", "pinn/collocation=r3"],
        [CONVECTION, "a@b=1"],
    ],
)
def test_what_hydra_refuses_is_refused_in_its_words(session: None, job: list[str]) -> None:
    def refusal(make: Callable[[], object]) -> tuple[type, str, str]:
        with pytest.raises(mistakes()) as refused:
            make()
        return type(refused.value), str(refused.value), str(refused.value.__cause__)

    assert refusal(lambda: Composer()(job)) == refusal(lambda: compose("config", job))


def test_settings_of_hydras_own_are_left_to_hydra(session: None) -> None:
    cfg, choices = Composer()([CONVECTION, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "seed=3"])
    assert cfg.seed == 3
    assert choices["hydra/launcher"] == "joblib"
    with pytest.raises(HydraException, match=r"hydra\.launcher\.n_job"):
        Composer()([CONVECTION, "hydra.launcher.n_job=2"])
