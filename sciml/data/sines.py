r"""Random sums of sines on a periodic interval, the initial states of many data sets in one dimension.

.. math:: u(x) = \sum_j A_j \sin(2\pi l_j x + \varphi_j) ,  \qquad x \in [0, 1) \text{ in units of the period.}

* :func:`few_sines`: ten waves with A uniform in [−½, ½], φ in [0, 2π) and l in {1, 2, 3}: Brandstetter, Welling and
  Worrall, "Lie point symmetry data augmentation for neural PDE solvers", ICML 2022 (arXiv 2202.07643). The authors'
  code draws l from {1, 2} only, as the upper end of its range is left out: ``highest=2`` does so.
* :func:`pdebench_sines`: Takamoto et al., "PDEBench", NeurIPS 2022 (arXiv 2210.07182), ``init_multi`` of their
  ``data_gen_NLE/utils.py``, by which the published files were made. Two of the wavenumbers 1 to 8 are drawn, with A
  uniform in [0, 1]. As there, a wavenumber that is drawn twice gives one wave of twice that wavenumber, and each of
  the wavenumbers that are not drawn adds a constant A sin φ. One field in ten is replaced by its modulus, the sign is
  random, one in ten is multiplied by a smooth window. Here x has the exact period; there it is off by one cell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def few_sines(
    generators: Sequence[Generator], points: int, *, waves: int = 10, highest: int = 3, amplitude: float = 0.5
) -> Tensor:
    """Sums of ``waves`` sines, one for each generator.

    Args:
        generators: Sources of amplitudes, wavenumbers and phases.
        points: Equidistant points ``j / points``.
        waves: Terms of a sum.
        highest: Wavenumbers are 1 to this one, each as probable.
        amplitude: Amplitudes are uniform between this and its negative.

    Returns:
        Fields ``(len(generators), points)``, float64.
    """
    draws = []
    for generator in generators:
        size = amplitude * (2 * torch.rand(waves, generator=generator, dtype=torch.float64) - 1)
        wavenumber = torch.randint(1, highest + 1, (waves,), generator=generator).double()
        draws.append(torch.stack([size, wavenumber, torch.rand(waves, generator=generator, dtype=torch.float64)]))
    return _sum(torch.stack(draws), points)


def pdebench_sines(
    generators: Sequence[Generator], points: int, *, waves: int = 2, highest: int = 8, window: float = 0.1
) -> Tensor:
    """Fields as PDEBench draws them, one for each generator.

    Args:
        generators: Sources of all that is random.
        points: Equidistant points ``j / points``.
        waves: Wavenumbers that are drawn.
        highest: Of them.
        window: Share of fields in a window.

    Returns:
        Fields ``(len(generators), points)``, float64.
    """
    draws, rest = [], []
    for generator in generators:
        chosen = torch.randint(0, highest, (waves,), generator=generator)
        times = torch.bincount(chosen, minlength=highest)
        uniform = torch.rand(2 * highest + 5, generator=generator, dtype=torch.float64)
        wavenumber = torch.arange(1, highest + 1) * times
        draws.append(torch.stack([uniform[:highest], wavenumber, uniform[highest : 2 * highest]]))
        rest.append(uniform[2 * highest :])
    u = _sum(torch.stack(draws), points)
    folded, flipped, windowed, left, right = torch.stack(rest).unsqueeze(-1).unbind(1)
    u = torch.where(folded < 0.1, u.abs(), u)
    u = torch.where(flipped < 0.5, -u, u)
    x = torch.arange(points, dtype=torch.float64) / points
    left, right = 0.1 + 0.35 * left, 0.55 + 0.35 * right
    inside = 0.5 * (torch.tanh((x - left) / 0.01) - torch.tanh((x - right) / 0.01))
    return torch.where(windowed < window, u * inside, u)


def _sum(draws: Tensor, points: int) -> Tensor:
    """Of amplitudes, wavenumbers and phases in turns, ``(n, 3, waves)``."""
    size, wavenumber, turn = draws.unsqueeze(-1).unbind(1)
    x = torch.arange(points, dtype=torch.float64) / points
    return (size * torch.sin(2 * math.pi * (wavenumber * x + turn))).sum(dim=1)
