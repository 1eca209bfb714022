from __future__ import annotations

import torch
from refusals import accepted
from supervised_toy import toy
from torch import Tensor

from sciml.influence.attributor.ensemble import Ensemble
from sciml.influence.attributor.tracin import TracIn
from sciml.influence.base import Attributor, NetworkTask, Params, Task


class Predicted(Attributor):
    """The loss at the parameters it is given, which tells them apart."""

    needs = NetworkTask

    def __call__(self, task: Task, params: Params) -> Tensor:
        return task.measure(params)[:, None] + task.losses(params)


def test_it_is_the_mean_over_the_repeats_of_the_training_from_the_first_on() -> None:
    task, inner = toy(), Predicted()
    models = [{k: p[0] for k, p in task.fit(torch.ones(1, 30), repeat=r).items()} for r in range(3)]
    expected = (inner(task, models[0]) + inner(task, models[1]) + inner(task, models[2])) / 3
    ensemble = Ensemble(inner=inner, models=3)
    torch.testing.assert_close(ensemble(task, models[0]), expected)
    assert ensemble.trainings == 2
    assert ensemble.needs is NetworkTask


def test_of_one_model_it_is_the_attributor_itself() -> None:
    task = toy()
    params = {k: p[0] for k, p in task.fit(torch.ones(1, 30)).items()}
    assert torch.equal(Ensemble(inner=Predicted(), models=1)(task, params), Predicted()(task, params))


def test_trainings_of_the_inner_attributor_count_for_each_model() -> None:
    assert Ensemble(inner=TracIn(inner=Predicted()), models=3).trainings == 2 + 3


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Ensemble, models=0) == {}
