r"""How close a set of samples is to a posterior, from S samples for each of P problems.

With the sample mean :math:`\bar x`, the sample variance :math:`s^2` (1/(S-1)), the exact posterior mean
:math:`m` and variance :math:`v`, entry by entry:

- mean error in posterior standard deviations: :math:`\sqrt{\langle(\bar x - m)^2 / v\rangle}`, the average inside
  the root over entries and problems; exact samples have :math:`1/\sqrt S`,
- variance ratio: :math:`\langle s^2 / v \rangle`; exact samples have 1,
- coverage at level p: the share of entries of the truth between the :math:`(1-p)/2` and :math:`(1+p)/2`
  quantiles of the samples; exact samples have p. The quantile at q is the (S+1)q-th smallest sample,
  interpolated, which makes this free of bias (Hyndman and Fan 1996, *Sample Quantiles in Statistical
  Packages*, definition 6),
- rank histogram: how many of the S samples an entry of the truth is above; exact samples have every rank from 0 to S
  equally often, too narrow ones the outer ranks more often (Hamill 2001, *Interpretation of Rank Histograms for
  Verifying Ensemble Forecasts*).
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean_square_error(samples: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Mean square error of the sample mean in posterior variances, for each problem.

    Args:
        samples: ``(problems, samples, *shape)``.
        mean: Exact posterior means ``(problems, *shape)``.
        variance: Exact posterior variances ``(problems, *shape)``.

    Returns:
        ``(problems,)``.
    """
    return _relative((samples.mean(1) - mean).square(), variance)


def variance_ratio(samples: Tensor, variance: Tensor) -> Tensor:
    """Mean of sample variance over exact variance, ``(problems,)``; arguments as in :func:`mean_square_error`."""
    return _relative(samples.var(1), variance)


def _relative(value: Tensor, variance: Tensor) -> Tensor:
    """Mean over the entries that vary at all of their value over their variance."""
    varies = (variance > 0).expand(value.shape)
    ratio = (value / variance).where(varies, 0)
    return ratio.flatten(1).sum(1) / varies.flatten(1).sum(1)


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


def ranks(samples: Tensor, truth: Tensor) -> Tensor:
    """Rank histogram over all problems and entries, counts ``(samples + 1,)``.

    Of samples that equal the truth half count as below it; an entry that all of them share with it is left out.

    Args:
        samples: ``(problems, samples, *shape)``.
        truth: ``(problems, *shape)``.
    """
    s = samples.shape[1]
    below, equal = (compare(samples, truth[:, None]).sum(1) for compare in (torch.lt, torch.eq))
    return torch.bincount((below + equal // 2)[equal < s], minlength=s + 1)


def intervals(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Levels of all central intervals between two ordered samples, and the shares of the truth inside, ascending.

    Args:
        counts: Rank histogram ``(samples + 1,)``.
    """
    outer = range((len(counts) - 1) // 2, -1, -1)
    inside = torch.stack([counts[k : len(counts) - k].sum() for k in outer]).double()
    return torch.tensor([1 - 2 * k / len(counts) for k in outer], dtype=torch.float64), inside / counts.sum()


def crps(samples: Tensor, truth: Tensor) -> Tensor:
    r"""Fair continuous ranked probability score, a mean over entries, ``(problems,)``.

    .. math:: \langle |x_i - t| \rangle_i - \frac{1}{2 S (S - 1)} \sum_{ij} |x_i - x_j|

    Ferro (2014), *Fair Scores for Ensemble Forecasts*, eq. 3: its expectation does not depend on the number of samples.

    Args:
        samples: ``(problems, samples, *shape)``, at least two.
        truth: ``(problems, *shape)``.
    """
    s = samples.shape[1]
    error = (samples - truth[:, None]).abs().mean(1)
    # The sum over pairs from the ordered samples: the i-th smallest of S counts 2 i - S - 1 times.
    rank = 2 * torch.arange(1, s + 1, dtype=samples.dtype, device=samples.device) - s - 1
    pairs = 2 * torch.einsum("ns...,s->n...", samples.sort(dim=1).values, rank)
    return (error - pairs / (2 * s * (s - 1))).flatten(1).mean(1)


def spread_skill(samples: Tensor, truth: Tensor) -> Tensor:
    r"""Mean sample variance times (S + 1)/S, and mean square error of the sample mean; ``(problems, 2)``.

    The root of the ratio of their means over problems is 1 for samples of the posterior: Fortin et al. (2014), *Why
    Should Ensemble Spread Match the RMSE of the Ensemble Mean?*, eq. 15.

    Args:
        samples: ``(problems, samples, *shape)``.
        truth: ``(problems, *shape)``.
    """
    s = samples.shape[1]
    spread = samples.var(1).flatten(1).mean(1) * (s + 1) / s
    return torch.stack([spread, (samples.mean(1) - truth).square().flatten(1).mean(1)], dim=1)


def sliced_wasserstein(x: Tensor, other: Tensor, directions: Tensor) -> Tensor:
    """Sliced 2-Wasserstein distance between two sets of as many points, for each problem ``(problems,)``.

    The root of the mean over directions of the squared distance of the projections (Bonneel et al. 2015, *Sliced and
    Radon Wasserstein Barycenters of Measures*), which in one dimension pairs the ordered points.

    Args:
        x: ``(problems, samples, d)``.
        other: The same shape.
        directions: Unit vectors ``(d, number)``.
    """
    difference = (x @ directions).sort(dim=1).values - (other @ directions).sort(dim=1).values
    return difference.square().mean((1, 2)).sqrt()
