r"""The tests of the operator family, the same for trained networks and for floors and ceilings.

With the relative L2 error :math:`e_{ik}` of state k of example i, on physical fields:

- ``rel_l2``: mean over examples of the first state, :math:`\langle e_{i1}\rangle`,
- ``rel_l2_rollout``: mean over examples and states, :math:`\langle e_{ik}\rangle`,
- ``rel_l2_last``: mean over examples of the last state.

The last two only where a trajectory has more than one state; for a split ``test_<name>`` every metric ends
in ``_<name>``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.metric import relative_l2_each
from sciml.operator.base import FieldMap, Fields, Rollout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def predict(network: FieldMap, rollout: Rollout, fields: Fields, batch_size: int) -> Tensor:
    """Trajectories for every input of a split, shaped like its targets."""
    steps = fields.target.shape[1]
    return torch.cat([rollout(network, u, steps) for u in fields.input.split(batch_size)])


def errors_by_step(prediction: Tensor, target: Tensor) -> Tensor:
    """Relative L2 error of each state, averaged over examples; ``(steps,)``."""
    return relative_l2_each(prediction, target, leading=2).mean(0)


def metrics(errors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The named metrics from the errors by step of each test split."""
    found = {}
    for split, error in errors.items():
        suffix = split.removeprefix("test")
        found[f"rel_l2{suffix}"] = error[0]
        if len(error) > 1:
            found[f"rel_l2_rollout{suffix}"] = error.mean()
            found[f"rel_l2_last{suffix}"] = error[-1]
    return found


def error_figure(errors: dict[str, Tensor]) -> Figure:
    """Error against step, one line for each test split."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="relative L2 error", yscale="log")
    for split, error in errors.items():
        axes.plot(range(1, len(error) + 1), error.cpu(), marker=".", label=split)
    axes.legend()
    return figure
