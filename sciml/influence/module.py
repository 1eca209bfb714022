"""Attribution as a run that only tests: train, score the training examples, judge the scores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.evaluation.base import Evaluation, Findings
from sciml.stage import stage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Attribution(LightningModule):
    """Judges an attributor on a task.

    Args:
        task: Model, training data and queries.
        attributor: What is judged.
        evaluation: What it is judged by.
    """

    def __init__(self, *, task: Task, attributor: Attributor, evaluation: Evaluation) -> None:
        super().__init__()
        self.task, self.attributor, self.evaluation = task, attributor, evaluation
        self._findings = Findings({})
        self._scored = torch.empty(0)
        self._seconds = 0.0

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Attributors differentiate, which inference mode forbids.
        with torch.inference_mode(False), torch.enable_grad():
            with stage("weights of the run"):
                params = self._fit()
            started = time.perf_counter()
            with stage("scores"):
                scores = self._scores(params)
            self._seconds = time.perf_counter() - started
        with torch.inference_mode(False), torch.no_grad():
            with stage("evaluation"):
                self._findings = self.evaluation(self.task, params, scores)
            self._scored = scores
        self.log_dict(self._findings.metrics, batch_size=1)

    def _fit(self) -> Params:
        ones = torch.ones(1, self.task.n_train, device=self.device)
        return {name: p[0].detach() for name, p in self.task.fit(ones).items()}

    def _scores(self, params: Params) -> Tensor:
        scores = self.attributor(self.task, params).detach()
        expected = (self.task.n_query, self.task.n_train)
        if scores.shape != expected:
            name = type(self.attributor).__name__
            raise RunError(
                f"attributor {name} returned scores {tuple(scores.shape)}, not (queries, examples) {expected}"
            )
        if not bool(torch.isfinite(scores).all()):
            raise RunError(f"attributor {type(self.attributor).__name__} returned scores that are not finite")
        return scores

    def cost(self) -> dict[str, int | float]:
        """Trainings that made the truth, trainings of the attributor's own, and its seconds with them."""
        return {
            "retrainings": self._findings.retrainings,
            "attributor_trainings": self.attributor.trainings,
            "attributor_seconds": round(self._seconds, 3),
        }

    def figures(self) -> dict[str, Figure]:
        """Those of the evaluation, and the scores on the task's own data."""
        return {**self._findings.figures, **self.task.figures(self._scored.cpu())}

    def arrays(self) -> dict[str, dict[str, Any]]:
        """Scores ``(queries, examples)`` and what these are, for a file."""
        queries = np.array(self.task.labels())
        return {"scores": {"scores": self._scored.float().cpu(), "queries": queries, **self.task.examples()}}

    def warnings(self) -> list[str]:
        """What the task has to say about itself."""
        return self.task.warnings()
