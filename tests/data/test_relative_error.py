from __future__ import annotations

import pytest
import torch

from sciml.data.relative_error import relative_error


def test_by_hand_and_example_by_example() -> None:
    reference = torch.tensor([[[3.0], [4.0]], [[0.0], [100.0]]])
    prediction = torch.tensor([[[3.0], [9.0]], [[0.0], [50.0]]])
    assert relative_error(prediction, reference).tolist() == [1.0, 0.5]
    assert relative_error(prediction, reference, leading=0).item() == pytest.approx((25 + 2500) ** 0.5 / 10025**0.5)


def test_leading_dimensions_are_kept_apart() -> None:
    reference = torch.ones(2, 3, 4, 1)
    assert relative_error(torch.zeros_like(reference), reference, leading=2).tolist() == [[1.0] * 3] * 2


def test_the_gradient_at_a_perfect_prediction_is_finite() -> None:
    prediction = torch.ones(1, 3, requires_grad=True)
    relative_error(prediction, torch.ones(1, 3)).sum().backward()
    assert torch.isfinite(prediction.grad).all()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        relative_error(torch.ones(3), torch.ones(3, 1))
