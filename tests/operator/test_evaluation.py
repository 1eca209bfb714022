from __future__ import annotations

import torch

from sciml.operator.base import Fields
from sciml.operator.evaluation import errors_by_step, metrics, predict
from sciml.operator.rollout.autoregressive import Autoregressive


def test_errors_are_means_over_examples_of_the_ratio_state_by_state() -> None:
    target = torch.ones(2, 3, 4, 1)
    target[1] *= 100
    prediction = target.clone()
    prediction[0, 1] *= 1.5  # a large relative error of a small example
    prediction[1, 2] *= 1.2
    torch.testing.assert_close(errors_by_step(prediction, target), torch.tensor([0.0, 0.25, 0.1]))


def test_metrics_of_each_test_split() -> None:
    found = metrics({"test": torch.tensor([0.1, 0.2, 0.6]), "test_fine": torch.tensor([0.5])})
    expected = {"rel_l2": 0.1, "rel_l2_rollout": 0.3, "rel_l2_last": 0.6, "rel_l2_fine": 0.5}
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], torch.tensor(value))


def test_prediction_does_not_depend_on_the_batch_size() -> None:
    fields = Fields(torch.randn(5, 4, 1), torch.zeros(5, 2, 4, 1))
    whole = predict(lambda u: u / 2, Autoregressive(), fields, 5)
    assert whole.shape == fields.target.shape
    assert torch.equal(whole, predict(lambda u: u / 2, Autoregressive(), fields, 2))
