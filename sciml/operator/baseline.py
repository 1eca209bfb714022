"""The trivial and the exact row of an operator table: a run that only tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.operator.base import Dataset, Fields, Rollout
from sciml.operator.evaluation import error_figure, errors_by_step, metrics, predict
from sciml.operator.predictor import Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Baseline(LightningModule):
    """Tests a predictor exactly as :class:`sciml.operator.module.Operator` tests a trained network.

    Args:
        dataset: The fields.
        rollout: Makes trajectories out of the predictor.
        predictor: What is tested.
        batch_size: Examples at a time.
    """

    def __init__(self, *, dataset: Dataset, rollout: Rollout, predictor: Predictor, batch_size: int = 64) -> None:
        super().__init__()
        self.dataset, self.rollout, self.predictor, self.batch_size = dataset, rollout, predictor, batch_size
        self._errors: dict[str, Tensor] = {}

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        splits = self.dataset.splits()
        network = self.predictor(self.dataset, splits["train"])
        self._errors = {}
        for split in (name for name in splits if name.startswith("test")):
            fields = Fields(*(part.to(self.device) for part in splits[split]))
            prediction = predict(network, self.rollout, fields, self.batch_size)
            self._errors[split] = errors_by_step(prediction, fields.target)
        self.log_dict(metrics(self._errors), batch_size=1)

    def figures(self) -> dict[str, Figure]:
        """Error against step of every test."""
        return {"error_by_step": error_figure(self._errors)}
