from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.errors import RunError
from sciml.influence.attributor.mfac import MFAC
from sciml.influence.task.ridge import Ridge


@pytest.mark.parametrize("n_train", [5, 30])
def test_scores_are_those_of_the_recursion_over_examples(n_train: int) -> None:
    """The paper's static algorithm on a dense matrix, one example after the other."""
    task = Ridge(n_train=n_train, n_query=4, features=8, noise_std=0.5, decay=0.7)
    params = {name: p[0].detach() for name, p in task.fit(torch.ones(1, n_train)).items()}
    train, query = task.gradients(params), task.query_gradients(params)
    inverse = torch.eye(8, dtype=torch.float64) / (0.7 + 0.1 * float(train.square().sum()) / 8)
    for g in train:
        v = inverse @ g
        inverse = inverse - torch.outer(v, v) / (1 + g @ v)
    torch.testing.assert_close(MFAC()(task, params), query @ inverse @ train.T)


def test_a_damping_that_leaves_a_singular_matrix_is_refused() -> None:
    task = Ridge(n_train=5, n_query=4, features=8, noise_std=0.5, decay=0.7)
    params = {name: p[0].detach() for name, p in task.fit(torch.ones(1, 5)).items()}
    task.decay = 0.0
    with pytest.raises(RunError, match="no decay"):
        MFAC(damping=0)(task, params)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MFAC, damping=-0.1) == {}
