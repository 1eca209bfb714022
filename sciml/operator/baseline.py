"""The trivial and the exact row of an operator table: a run that only tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule

from sciml.operator.base import Dataset
from sciml.operator.evaluation import Scores, error_figures, evaluate, metrics
from sciml.operator.predictor import Predictor
from sciml.operator.rollout.autoregressive import Autoregressive
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Baseline(LightningModule):
    """Tests a predictor exactly as :class:`sciml.operator.module.Operator` tests a trained network.

    Args:
        dataset: The fields.
        predictor: What is tested.
        batch_size: Examples at a time.
    """

    def __init__(self, *, dataset: Dataset, predictor: Predictor, batch_size: Count = 64) -> None:
        super().__init__()
        self.dataset, self.predictor, self.batch_size = dataset, predictor, batch_size
        self._scores: dict[str, Scores] = {}

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        splits = self.dataset.splits()
        network = self.predictor(self.dataset, splits["train"])
        rollout = Autoregressive()
        self._scores = {
            name: evaluate(lambda: network, rollout, self.dataset, split, self.batch_size, self.device)
            for name, split in splits.items()
            if name.startswith("test")
        }
        self.log_dict(metrics(self._scores), batch_size=1)

    def figures(self) -> dict[str, Figure]:
        """Errors of every test."""
        return error_figures(self._scores)
