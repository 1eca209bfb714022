"""Metrics with exact definitions. All take (prediction, reference) of one shape.

Those that return a number work in float64; ``relative_l2_each`` is also a loss, and keeps its arguments' dtype.
"""

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


def relative_l2_each(prediction: Tensor, reference: Tensor, leading: int = 1) -> Tensor:
    """‖pᵢ − rᵢ‖₂ / ‖rᵢ‖₂ of each example i: a loss, and in the mean the metric of operator tables.

    The mean over examples of the ratio, not the ratio of means: an example with a small field counts as much as
    any other (Li et al. 2021, Fourier Neural Operator for Parametric Partial Differential Equations, section 5).

    Args:
        prediction: (*batch, *field).
        reference: The same shape; zero for no example.
        leading: Number of leading dimensions that tell examples apart.

    Returns:
        One error for each example, (*batch,), differentiable.

    Raises:
        ValueError: Shapes differ.
    """
    _same_shape(prediction, reference)
    return (prediction - reference).flatten(leading).norm(dim=-1) / reference.flatten(leading).norm(dim=-1)


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
    _same_shape(prediction, reference)
    return prediction.double() - reference.double()


def _same_shape(prediction: Tensor, reference: Tensor) -> None:
    if prediction.shape != reference.shape:
        # Broadcasting (n,) against (n, 1) would give a number, and a wrong one.
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, reference {tuple(reference.shape)}")
