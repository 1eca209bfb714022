r"""The tests of the operator family, the same for trained networks and for floors and ceilings.

All on physical fields; norms and means are over grid points and channels. Of state k of example i, with prediction p
and truth u:

- ``rel_l2``: :math:`e_{i1} = \|p_{i1} - u_{i1}\| / \|u_{i1}\|`, mean over examples, first state,
- ``rel_l2_rollout``: mean of :math:`e_{ik}` over examples and states,
- ``rel_l2_last``: mean over examples of the last state,
- ``rmse``: root of the mean square error of all states,
- ``vrmse``: :math:`(\langle (p - u)^2 \rangle / \langle (u - \bar u)^2 \rangle)^{1/2}` of each channel of the first
  state, mean over channels and examples (Ohana et al. 2024, *The Well*); 1 is the error of a channel's mean,
- ``error_low``, ``error_mid``, ``error_high``: relative L2 error of the part of the first state with wavenumbers
  :math:`|k| < 4.5`, up to 12.5 and above (the bands of Takamoto et al. 2022, *PDEBench*), root of the ratio of the
  sums over examples, so that an example with an empty band does not count; see :mod:`sciml.operator.spectrum`,
- ``correlation_time``: the time until the correlation of prediction and truth over the grid, mean over examples, is
  first below 0.8 (Lippe et al. 2023, *PDE-Refiner*, section 4.1): the time of the last state before; in units of the
  dataset's time, or in states where it has none.

Those with several states only where a trajectory has them; for a split ``test_<name>`` every metric ends in
``_<name>``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.metric import relative_l2_each
from sciml.operator.base import Dataset, FieldMap, Rollout, Split
from sciml.operator.spectrum import coefficients, wavenumbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORRELATED = 0.8
BANDS = {"low": (0.0, 4.5), "mid": (4.5, 12.5), "high": (12.5, float("inf"))}


class Scores:
    """What is known of the predictions of one split, example by example, on the CPU.

    Args:
        dataset: Which axes close, and the time step.

    Attributes:
        relative: Relative L2 errors ``(n, steps)``.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.periodic, self.dt = dataset.periodic, dataset.dt
        self._kept: dict[str, list[Tensor]] = {}

    def add(self, prediction: Tensor, target: Tensor) -> None:
        """Take in examples ``(n, steps, *grid, channels)``."""
        error = prediction - target
        self._keep("relative", relative_l2_each(prediction, target, leading=2))
        self._keep("square", error.double().square().flatten(1).mean(1))
        first, truth = error[:, 0].flatten(1, -2), target[:, 0].flatten(1, -2)
        scatter = (truth - truth.mean(1, keepdim=True)).square().mean(1)
        usable = scatter > 0
        ratio = (first.square().mean(1) / torch.where(usable, scatter, torch.ones_like(scatter))).sqrt()
        self._keep("vrmse", torch.where(usable, ratio, torch.nan).nanmean(1))
        self._keep("bands", torch.stack([self._bands(error[:, 0]), self._bands(target[:, 0])], dim=1))
        if target.shape[1] > 1:
            self._keep("correlation", _correlation(prediction.flatten(2), target.flatten(2)))

    def _keep(self, name: str, values: Tensor) -> None:
        self._kept.setdefault(name, []).append(values.detach().cpu())

    def _bands(self, u: Tensor) -> Tensor:
        grid = u.shape[1:-1]
        if len(grid) != len(self.periodic) or min(grid) < 3:  # a cloud of points has no spectrum
            return u.new_full((len(u), len(BANDS)), torch.nan)
        power = torch.view_as_real(coefficients(u, self.periodic)).square().sum(-1).sum(-1).flatten(1)
        k = wavenumbers(grid, self.periodic, u.device).flatten()
        return torch.stack([power[:, (low <= k) & (k < high)].sum(1) for low, high in BANDS.values()], dim=1)

    def all(self, name: str) -> Tensor:
        return torch.cat(self._kept[name])

    @property
    def relative(self) -> Tensor:
        return self.all("relative")

    def metrics(self) -> dict[str, Tensor]:
        """The named metrics; see above."""
        relative = self.relative.mean(0)
        found = {"rel_l2": relative[0], "rmse": self.all("square").mean().sqrt(), "vrmse": self.all("vrmse").mean()}
        error, truth = self.all("bands").double().sum(0)
        found |= {
            f"error_{band}": (error[i] / truth[i]).sqrt()
            for i, band in enumerate(BANDS)
            if truth[i] > 1e-12 * truth.sum()  # rounding is no band
        }
        if len(relative) > 1:
            found["rel_l2_rollout"], found["rel_l2_last"] = relative.mean(), relative[-1]
            below = self.all("correlation").mean(0) < CORRELATED
            steps = int(below.int().argmax()) if bool(below.any()) else len(below)
            found["correlation_time"] = torch.tensor(steps * (self.dt or 1.0))
        return {name: value.float() for name, value in found.items() if torch.isfinite(value)}


def _correlation(p: Tensor, u: Tensor) -> Tensor:
    p, u = p - p.mean(-1, keepdim=True), u - u.mean(-1, keepdim=True)
    return (p * u).sum(-1) / (p.norm(dim=-1) * u.norm(dim=-1)).clamp_min(torch.finfo(u.dtype).tiny)


@torch.no_grad()
def evaluate(
    start: Callable[[], FieldMap],
    rollout: Rollout,
    dataset: Dataset,
    split: Split,
    batch_size: int,
    device: torch.device,
) -> Scores:
    """Predict all trajectories of a split.

    Args:
        start: Gives the map for one batch of trajectories.
        rollout: Makes trajectories.
        dataset: Of the split.
        split: Inputs and the states that follow.
        batch_size: Examples at a time.
        device: Where it happens.
    """
    scores = Scores(dataset)
    for u, target in split.batches(batch_size, device):
        scores.add(rollout(start(), u, split.steps), target)
    return scores


def metrics(scores: dict[str, Scores]) -> dict[str, Tensor]:
    """The named metrics of each test split."""
    return {
        f"{name}{split.removeprefix('test')}": value
        for split, found in scores.items()
        for name, value in found.metrics().items()
    }


def error_figures(scores: dict[str, Scores]) -> dict[str, Figure]:
    """Errors of all tests: over the examples, and where there are several states, against the step."""
    found = {"error_of_examples": _error_of_examples(scores)}
    if any(score.relative.shape[1] > 1 for score in scores.values()):
        found["error_by_step"] = _error_by_step(scores)
    return found


def _error_of_examples(scores: dict[str, Scores]) -> Figure:
    """Errors of the first state in order, one line for each test split: how far the worst are from the median."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="share of examples", ylabel="relative L2 error of the first state", yscale="log")
    for split, score in scores.items():
        error = score.relative[:, 0].sort().values
        axes.plot(torch.linspace(0, 1, len(error)).numpy(), error.numpy(), label=split)
    axes.legend()
    return figure


def _error_by_step(scores: dict[str, Scores]) -> Figure:
    """Mean error against step, one line for each test split."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="relative L2 error", yscale="log")
    for split, score in scores.items():
        error = score.relative.mean(0)
        axes.plot(range(1, len(error) + 1), error.numpy(), marker=".", label=split)
    axes.legend()
    return figure


def field_figure(u: Tensor, prediction: Tensor, target: Tensor) -> Figure:
    """One example: input, truth, prediction and error of its last state, first channel; ``(*grid, channels)`` each."""
    from matplotlib.figure import Figure

    from sciml.figure import images

    panels = {
        "input": u[..., 0],
        "truth": target[..., 0],
        "prediction": prediction[..., 0],
        "error": (prediction - target)[..., 0],
    }
    if target.ndim == 2:
        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.add_subplot(xlabel="grid point")
        for name in ("truth", "prediction", "error"):
            axes.plot(panels[name].cpu().numpy(), label=name)
        axes.legend()
        return figure
    middle = {name: field if field.ndim == 2 else field[..., field.shape[-1] // 2] for name, field in panels.items()}
    return images(middle, alike=("truth", "prediction"), signed=("error",))
