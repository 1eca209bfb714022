r"""How close a set of samples is to a posterior, from S samples for each of P problems.

With the sample mean :math:`\bar x`, the sample variance :math:`s^2` (1/(S-1)), the exact posterior mean
:math:`m` and variance :math:`v`, entry by entry:

- mean error in posterior standard deviations: :math:`\sqrt{\langle(\bar x - m)^2 / v\rangle}`, the average inside
  the root over entries and problems; exact samples have :math:`1/\sqrt S`,
- variance ratio: :math:`\langle s^2 / v \rangle`; exact samples have 1,
- coverage at level p: the share of entries of the truth between the :math:`(1-p)/2` and :math:`(1+p)/2`
  quantiles of the samples; exact samples have p. The quantile at q is the (S+1)q-th smallest sample,
  interpolated, which makes this free of bias (Hyndman and Fan 1996, *Sample Quantiles in Statistical
  Packages*, definition 6).
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_square_error(samples: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Mean square error of the sample mean in posterior variances, for each problem.

    Args:
        samples: ``(problems, samples, *shape)``.
        mean: Exact posterior means ``(problems, *shape)``.
        variance: Exact posterior variance ``(*shape)``.

    Returns:
        ``(problems,)``.
    """
    return ((samples.mean(1) - mean).square() / variance).flatten(1).mean(1)


def variance_ratio(samples: Tensor, variance: Tensor) -> Tensor:
    """Mean of sample variance over exact variance, ``(problems,)``; arguments as in :func:`mean_square_error`."""
    return (samples.var(1) / variance).flatten(1).mean(1)


def coverage(samples: Tensor, truth: Tensor, level: float) -> Tensor:
    """Share of entries of ``truth`` ``(problems, *shape)`` inside the central interval, ``(problems,)``.

    Raises:
        ValueError: There are too few samples to have quantiles that far out.
    """
    lower, upper = _quantile(samples, (1 - level) / 2), _quantile(samples, (1 + level) / 2)
    return ((truth >= lower) & (truth <= upper)).double().flatten(1).mean(1)


def _quantile(samples: Tensor, q: float) -> Tensor:
    s = samples.shape[1]
    position = (s + 1) * q
    if not 1 - 1e-9 <= position <= s + 1e-9:
        raise ValueError(f"{s} samples have no {q:g} quantile; take at least {round(1 / min(q, 1 - q)) - 1}")
    below = min(max(int(position), 1), s - 1) if s > 1 else 1
    ordered = samples.sort(dim=1).values
    if s == 1:
        return ordered[:, 0]
    return torch.lerp(ordered[:, below - 1], ordered[:, below], position - below)
