r"""Relative L2 error of each example, :math:`\|p_i - r_i\|_2 / \|r_i\|_2`: a loss, and the metric of operator tables.

The mean over examples of the ratio, not the ratio of means: an example with a small field counts as much as
any other (Li et al. 2021, *Fourier Neural Operator for Parametric Partial Differential Equations*, section 5).
"""

from __future__ import annotations

from torch import Tensor


def relative_error(prediction: Tensor, reference: Tensor, leading: int = 1) -> Tensor:
    """Differentiable; has the dtype of its arguments.

    Args:
        prediction: ``(*batch, *field)``.
        reference: The same shape; zero for no example.
        leading: Number of leading dimensions that tell examples apart.

    Returns:
        One error for each example, ``(*batch,)``.

    Raises:
        ValueError: The shapes differ.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction has shape {tuple(prediction.shape)}, reference {tuple(reference.shape)}")
    error = (prediction - reference).flatten(leading)
    return error.norm(dim=-1) / reference.flatten(leading).norm(dim=-1)
