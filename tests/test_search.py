"""The study on disk, the space, the objective: without any run."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder
from sciml.objective import objective
from sciml.search import DEATHS, ENOUGH, Study, create
from sciml.searchspec import Frozen, Spec
from sciml.space import Parameter, propose, size, texts

SPACE = (Parameter("a.x", "real", low=-1.0, high=1.0), Parameter("+a.n", "whole", low=1, high=9, step=2))
WORDS = (Parameter("a.x", "choice", ("1", "2", "3")), Parameter("a.k", "choice", ("u", "v")))


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Study]:
    def make(space: tuple[Parameter, ...] = SPACE, **changes: Any) -> Study:
        given: dict[str, Any] = {"objective": None, "direction": "minimize", "seeds": (0,), "configs": "c", **changes}
        spec = Spec("mine/case", ("+experiment=mine/case",), space, **given)
        return create(tmp_path / "outputs", spec, [Frozen({}, {}, {"a": {}})])[0]

    return make


def value(params: dict[str, Any]) -> float:
    return (params["a.x"] - 0.3) ** 2 + (params["a.n"] - 3) ** 2 / 100


def search(study: Study, total: int, stop_after: int | None = None) -> None:
    """Take trials and finish them; a process that ends early leaves the last one."""
    while (taken := study.take(total)) is not None:
        with taken.lock:
            if stop_after is not None and taken.number == stop_after:
                return
            study.finish(taken.number, [value(taken.params)], 1.0)


def test_a_search_that_was_interrupted_proposes_what_it_would_have_proposed(study: Callable[..., Study]) -> None:
    search(whole := study(seeds=(3,)), 16)
    search(study(seeds=(3,), configs="d"), 16, stop_after=12)
    search(again := study(seeds=(3,), configs="d"), 16)
    assert [t.params for t in again.trials()] == [t.params for t in whole.trials()]
    search(other := study(seeds=(4,)), 2)
    assert other.trials()[0].params != whole.trials()[0].params


def test_a_trial_belongs_to_whoever_holds_its_lock(study: Callable[..., Study]) -> None:
    one, two = study(), study()
    first, second = one.take(3), two.take(3)
    assert first is not None
    assert second is not None
    assert (first.number, second.number) == (0, 1)
    assert second.params != first.params
    third = one.take(3)
    assert third is not None
    assert two.take(3) is None
    third.lock.close()  # as when its process dies
    assert [trial.state for trial in two.trials(probe=True)] == ["running", "running", "left"]
    again = two.take(3)
    assert again is not None
    assert (again.number, again.params, again.again) == (2, third.params, True)
    assert one.take(3) is None
    two.finish(1, [1.0, 3.0], 5.0)
    done = one.trials()[1]
    assert (done.state, done.value, done.values, done.seconds) == ("done", 2.0, [1.0, 3.0], 5.0)
    for taken in (first, second, again):
        taken.lock.close()


def test_a_trial_that_kills_its_workers_ends_as_failed(study: Callable[..., Study], tmp_path: Path) -> None:
    one = study()
    run = RunFolder(tmp_path / "outputs" / "run")
    run.create()

    def killed(step: int, *, stopped: bool = False) -> None:
        taken = one.take(1)
        assert taken is not None
        one.note_run(0, ["run"])
        run.update_status(step=step)
        if stopped:
            one.let_go(taken)
        taken.lock.close()

    for step in range(DEATHS + 2):  # each gets further
        killed(step)
    killed(9)
    killed(9, stopped=True)  # in good order: the count begins anew
    for _ in range(DEATHS):
        killed(9)
    assert one.take(1) is None
    assert one.trials()[0].error == f"its worker was killed {DEATHS} times at the same step; out of memory?"


def test_no_point_is_tried_twice_and_a_finite_space_ends(study: Callable[..., Study]) -> None:
    one = study(WORDS)
    assert size(WORDS) == 6
    while (taken := one.take(100)) is not None:
        with taken.lock:
            if taken.number % 3:
                one.finish(taken.number, [float(taken.params["a.x"])], 0.0)
            else:
                one.fail(taken.number, "no")
    points = [tuple(trial.params.items()) for trial in one.trials()]
    assert len(points) == len(set(points)) == 6


def test_points_beyond_those_that_tpe_insists_on() -> None:
    import optuna

    many = (Parameter("n", "whole", low=0, high=10**6, step=1),)
    for space in (WORDS, many):
        distributions = {p.name: p.distribution() for p in space}
        fixed = propose(space, "minimize", [], 0)
        assert fixed is not None
        drawn = iter([fixed] * 99)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sciml.space._tpe", lambda *args, drawn=drawn: next(drawn))
            past = [optuna.trial.create_trial(value=1.0, params=fixed, distributions=distributions)]
            other = propose(space, "minimize", past, 0)
        assert other is not None
        assert texts(space, other) != texts(space, fixed)


@pytest.mark.parametrize(
    ("parameter", "values"),
    [
        (Parameter("p", "choice", ("b", "a")), ["b", "a"]),
        (Parameter("p", "whole", low=2, high=8, step=3), ["2", "5", "8"]),
        (Parameter("p", "real", low=0.1, high=0.4, step=0.1), ["0.1", "0.2", "0.3", "0.4"]),
    ],
)
def test_values_in_steps(parameter: Parameter, values: list[str]) -> None:
    import optuna

    assert [parameter.text(parameter.value(i)) for i in range(int(parameter.size))] == values
    generator = random.Random(0)
    assert {parameter.text(parameter.draw(generator)) for _ in range(60)} == set(values)
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    asked = {parameter.text(trial.ask({"p": parameter.distribution()}).params["p"]) for _ in range(60)}
    assert asked == set(values)


def test_a_logarithmic_scale_is_drawn_evenly_in_the_logarithm() -> None:
    parameter = Parameter("p", "real", low=1e-4, high=1e-1, log=True)
    generator = random.Random(0)
    drawn = [math.log10(float(parameter.text(parameter.draw(generator)))) for _ in range(300)]
    assert min(drawn) >= -4
    assert max(drawn) <= -1
    assert sum(drawn) / 300 == pytest.approx(-2.5, abs=0.15)


def test_importance_finds_the_parameter_that_matters_and_is_silent_on_few_trials(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = random.Random(1)
    monkeypatch.setattr("sciml.search.propose", lambda space, *_: {p.name: p.draw(generator) for p in space})
    for direction, sign in (("minimize", 1.0), ("maximize", -1.0)):
        one = study(direction=direction)
        for total in (ENOUGH - 1, ENOUGH + 20):
            assert one.importances() == {}
            while (taken := one.take(total)) is not None:
                with taken.lock:
                    x, n = taken.params["a.x"], taken.params["a.n"]
                    assert isinstance(x, float)
                    assert isinstance(n, int)
                    one.finish(taken.number, [sign * ((x - 0.3) ** 2 + n / 1000)], 1.0)
        shares = one.importances()
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares) == ["a.x", "a.n"]
        assert shares["a.x"] > 0.7


def test_half_a_line_that_a_killed_writer_left_is_cut_off(study: Callable[..., Study]) -> None:
    one = study()
    search(one, 2)
    with open(one.journal, "ab") as file:
        file.write(b'{"op_code":4,"wor')
    two = study()
    search(two, 3)
    assert [trial.state for trial in study().trials()] == ["done"] * 3
    with open(one.journal, "ab") as file:
        file.write(b'{"op_code":4,"wor')  # while the study is open
    search(two, 4)
    assert [trial.state for trial in study().trials()] == ["done"] * 4


@pytest.mark.parametrize("line", ["not json", "[1]", '{"op_code": 99}', '{"op_code": 4, "study_id": 7}'])
def test_a_damaged_journal_is_named(study: Callable[..., Study], line: str) -> None:
    one = study()
    search(one, 1)
    lines = one.journal.read_text().splitlines()
    one.journal.write_text("\n".join([*lines[:1], line, *lines[1:], ""]))
    with pytest.raises(UsageError, match=rf"^{one.journal} is damaged: .*; move it away and repeat") as caught:
        study()
    assert "\n" not in str(caught.value)


def test_other_damaged_files_are_named(study: Callable[..., Study], tmp_path: Path) -> None:
    one = study()
    (one.folder / "configs.yaml").write_text("- {")
    with pytest.raises(UsageError, match=r"configs\.yaml is damaged"):
        one.configs()
    for text in ("{", "[]", "{}"):
        (one.folder / "study.json").write_text(text)
        with pytest.raises(UsageError, match=r"study\.json is damaged"):
            Study(one.folder)
    with pytest.raises(UsageError, match="is not the folder of a search"):
        Study(tmp_path)


def logged(path: Path, *records: Any) -> RunFolder:
    folder = RunFolder(path)
    folder.create()
    folder.metrics.write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


class Unread(dict[str, Any]):
    """A row that must not be looked at."""

    def __getitem__(self, key: str) -> Any:
        raise AssertionError(f"{key} of the row was read")

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]


def test_the_default_objective_is_the_lowest_held_out_loss_and_never_a_test(tmp_path: Path) -> None:
    test = {"step": 9, "stage": "test", "val/loss": 0.1, "best/val/loss": 0.1, "rel_l2": 0.1}
    nan = {"step": 7, "val/loss": math.nan}
    folder = logged(tmp_path, {"step": 1, "val/loss": 2.0}, {"step": 5, "val/loss": 0.5, "train/loss": 0.2}, nan, test)
    assert objective(folder, Unread(), None) == 0.5
    assert objective(folder, {"metrics": {"rel_l2": 0.25}}, "rel_l2") == 0.25
    with pytest.raises(UsageError, match=r"no metric rel_l1; did you mean rel_l2\?\navailable: max, rel_l2"):
        objective(folder, {"metrics": {"rel_l2": 0.25, "max": 1.0}}, "rel_l1")
    with pytest.raises(UsageError, match=r"has logged no val/loss, .*--objective METRIC"):
        objective(logged(tmp_path, {"step": 1, "train/loss": 1.0}, test), Unread(), None)
    with pytest.raises(RunError, match="val/loss was never finite"):
        objective(logged(tmp_path, nan, test), Unread(), None)
