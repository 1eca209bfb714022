"""Metrics with exact definitions, in float64. All take (prediction, reference) of one shape."""

from __future__ import annotations

from torch import Tensor


def relative_l2(prediction: Tensor, reference: Tensor) -> float:
    """‖p − r‖₂ / ‖r‖₂ over all entries together; 1 is the error of predicting zero.

    Raises:
        ValueError: Shapes differ, or the reference is zero everywhere.
    """
    error, scale = float(_difference(prediction, reference).norm()), float(reference.double().norm())
    if scale == 0:
        raise ValueError("relative_l2: the reference is zero everywhere; an absolute metric is needed")
    return error / scale


def rmse(prediction: Tensor, reference: Tensor) -> float:
    """√(mean (p − r)²) over all entries, in the unit of the field.

    Raises:
        ValueError: Shapes differ.
    """
    return float(_difference(prediction, reference).square().mean().sqrt())


def max_error(prediction: Tensor, reference: Tensor) -> float:
    """Largest |p − r| over all entries, in the unit of the field.

    Raises:
        ValueError: Shapes differ.
    """
    return float(_difference(prediction, reference).abs().max())


def _difference(prediction: Tensor, reference: Tensor) -> Tensor:
    if prediction.shape != reference.shape:
        # Broadcasting (n,) against (n, 1) would give a number, and a wrong one.
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, reference {tuple(reference.shape)}")
    return prediction.double() - reference.double()
