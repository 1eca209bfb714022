"""Values worked out by hand, not only metric(x, x) = 0."""

from __future__ import annotations

import pytest
import torch

from sciml.metric import max_error, relative_l2, relative_l2_each, rmse

P = torch.tensor([[3.0, 0.0], [0.0, 8.0]])
R = torch.tensor([[3.0, 4.0], [0.0, 5.0]])  # differences 0, -4, 0, 3


def test_values() -> None:
    assert relative_l2(P, R) == pytest.approx(5 / 50**0.5, rel=1e-12)
    assert rmse(P, R) == pytest.approx(2.5, rel=1e-12)
    assert max_error(P, R) == 4.0


def test_the_reference_is_what_divides() -> None:
    assert relative_l2(torch.zeros(2, 2), R) == 1.0
    assert relative_l2(3 * R, R) == pytest.approx(2.0)
    assert relative_l2(R, 3 * R) == pytest.approx(2 / 3)


def test_computed_in_float64() -> None:
    reference = torch.ones(4, dtype=torch.float64)
    assert relative_l2(reference + 1e-12, reference) == pytest.approx(1e-12, rel=1e-3)
    many = torch.full((1000,), 1e30)  # squares overflow in float32
    assert relative_l2(2 * many, many) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", [relative_l2, relative_l2_each, rmse, max_error])
def test_shapes_must_agree(metric) -> None:
    with pytest.raises(ValueError, match=r"\(4,\), reference \(4, 1\)"):
        metric(torch.zeros(4), torch.ones(4, 1))


def test_a_zero_reference_has_no_relative_error() -> None:
    with pytest.raises(ValueError, match="absolute metric"):
        relative_l2(torch.ones(3), torch.zeros(3))


def test_each_example_by_hand() -> None:
    reference = torch.tensor([[[3.0], [4.0]], [[0.0], [100.0]]])
    prediction = torch.tensor([[[3.0], [9.0]], [[0.0], [50.0]]])
    assert relative_l2_each(prediction, reference).tolist() == [1.0, 0.5]
    assert relative_l2_each(prediction, reference, leading=0).item() == pytest.approx((25 + 2500) ** 0.5 / 10025**0.5)


def test_leading_dimensions_of_each_example_are_kept_apart() -> None:
    reference = torch.ones(2, 3, 4, 1)
    assert relative_l2_each(torch.zeros_like(reference), reference, leading=2).tolist() == [[1.0] * 3] * 2


def test_each_has_a_finite_gradient_at_a_perfect_prediction() -> None:
    prediction = torch.ones(1, 3, requires_grad=True)
    relative_l2_each(prediction, torch.ones(1, 3)).sum().backward()
    assert torch.isfinite(prediction.grad).all()
