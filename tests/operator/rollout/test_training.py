from __future__ import annotations

import torch

from sciml.operator.rollout.autoregressive import Autoregressive
from sciml.operator.rollout.pushforward import Pushforward
from sciml.operator.rollout.teacher_forced import TeacherForced

U0 = torch.tensor([[[1.0]], [[2.0]]], dtype=torch.float64)
TARGET = torch.tensor([3.0, 5.0, 7.0], dtype=torch.float64)[:, None, None].expand(2, 3, 1, 1)


def slope(rollout: object) -> tuple[torch.Tensor, torch.Tensor, float]:
    """States of u -> a u at a = 2, their targets, and d/da of the sum of the states."""
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    states, target = rollout.train(lambda u: a * u, U0, TARGET)  # type: ignore[attr-defined]
    return states.detach().flatten(1), target.flatten(1), float(torch.autograd.grad(states.sum(), a)[0])


def test_autoregressive_gradients_pass_through_all_steps() -> None:
    states, target, grad = slope(Autoregressive())
    assert states.tolist() == [[2, 4, 8], [4, 8, 16]]
    assert target.tolist() == [[3, 5, 7]] * 2
    assert grad == (1 + 2 * 2 + 3 * 4) * 3


def test_teacher_forcing_starts_every_step_from_the_truth() -> None:
    states, target, grad = slope(TeacherForced())
    assert states.tolist() == [[2, 6, 10], [4, 6, 10]]
    assert target.tolist() == [[3, 5, 7]] * 2
    assert grad == 3 + 2 * (3 + 5)


def test_pushforward_learns_from_its_own_error_without_a_gradient_through_it() -> None:
    states, target, grad = slope(Pushforward())
    assert states.tolist() == [[2, 8], [4, 16]]
    assert target.tolist() == [[3, 7]] * 2
    assert grad == 3 + (4 + 8)
    alone, last, grad = slope(Pushforward(one_step=False))
    assert alone.tolist() == [[8], [16]]
    assert last.tolist() == [[7]] * 2
    assert grad == 4 + 8


def test_windows_of_several_frames_keep_true_frames_under_teacher_forcing() -> None:
    u0 = torch.tensor([[[1.0, 2.0]]])
    target = torch.tensor([3.0, 5.0])[None, :, None, None]
    states, _ = TeacherForced().train(lambda u: 10 * u[..., :1] + u[..., 1:], u0, target)
    assert states.flatten().tolist() == [12, 23]
