r"""Attribution as a run that only tests: scores against what leaving examples out really does.

With scores :math:`I_{qi}` and the change of the measurement after training without example i,
:math:`\Delta_{qi} = m_q(\theta_{-i}) - m_q(\theta)`, over the training examples of each query:

- ``spearman``, ``pearson``: correlation of the two, averaged over queries,
- ``scale_ratio``: slope of change against score through the origin, :math:`\sum I\Delta / \sum I^2`, over
  everything; 1 when sign and unit are right, below 1 when the scores are too large.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Task
from sciml.influence.correlation import pearson, spearman

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Attribution(LightningModule):
    """Judges an attributor by leaving out every training example, one at a time.

    Args:
        task: Model, training data and queries.
        attributor: What is judged.
        batch_size: Retrainings at once.
    """

    def __init__(self, *, task: Task, attributor: Attributor, batch_size: int = 256) -> None:
        super().__init__()
        self.task, self.attributor, self.batch_size = task, attributor, batch_size
        self._retrainings = 0
        self._scores = self._changes = torch.empty(0)

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Attributors differentiate, which inference mode forbids.
        with torch.inference_mode(False), torch.enable_grad():
            params = {name: p[0].detach() for name, p in self.task.fit(self._weights()[:1]).items()}
            scores = self.attributor(self.task, params).detach()
        expected = (self.task.n_query, self.task.n_train)
        if scores.shape != expected:
            name = type(self.attributor).__name__
            raise RunError(
                f"attributor {name} returned scores {tuple(scores.shape)}, not (queries, examples) {expected}"
            )
        with torch.inference_mode(False), torch.no_grad():
            changes = self._leave_one_out()
        self._scores, self._changes = scores, changes
        self.log_dict(
            {
                "spearman": spearman(scores, changes).mean(),
                "pearson": pearson(scores, changes).mean(),
                "scale_ratio": (scores * changes).sum()
                / scores.square().sum().clamp(min=torch.finfo(scores.dtype).tiny),
            },
            batch_size=1,
        )

    def _weights(self) -> Tensor:
        """All ones, then each example left out once: ``(1 + n_train, n_train)``."""
        n = self.task.n_train
        return torch.cat([torch.ones(1, n), 1 - torch.eye(n)]).to(self.device)

    def _leave_one_out(self) -> Tensor:
        """Change of every measurement, ``(n_query, n_train)``."""
        self._retrainings = 0
        measured = []
        for weights in self._weights().split(self.batch_size):
            params = self.task.fit(weights)
            measured.append(torch.func.vmap(self.task.measure)(params))
            self._retrainings += len(weights)
        after = torch.cat(measured)
        return (after[1:] - after[0]).T

    def cost(self) -> dict[str, int | float]:
        """Retrainings that made the truth; the attributor itself needs none of them."""
        return {"retrainings": self._retrainings}

    def figures(self) -> dict[str, Figure]:
        """Predicted against actual change, for the first queries."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="actual change of query loss", ylabel="score")
        for scores, changes in zip(self._scores[:5].cpu(), self._changes[:5].cpu(), strict=True):
            axes.plot(changes, scores, ".", markersize=4)
        axes.axline((0, 0), slope=1, color="k", linewidth=0.8)
        return {"predicted_against_actual": figure}
