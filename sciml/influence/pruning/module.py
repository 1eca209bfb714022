"""A classifier: trained, tested, and pruned if there is a pruner.

Metrics on the test examples: ``accuracy`` and ``loss`` (cross-entropy) of the network as trained; for each sparsity
asked for, in percent of the prunable weights, ``accuracy_90`` and ``sparsity_90``, the accuracy of the pruned network
and the share of zeros that it has. Nothing is trained after pruning, and every sparsity starts from the network as
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.data.draws import Draws
from sciml.data.labelled import Examples, Labelled
from sciml.data.stream import stream
from sciml.influence.pruning.base import Pruner, Weights, schedule
from sciml.influence.pruning.dense import Dense
from sciml.ranges import Count, Range
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Classifier(Trained):
    """A network trained by cross-entropy.

    Args:
        data: The examples.
        network: Called with the numbers of inputs and of classes.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        pruner: What prunes the trained network; nothing by default.
        sparsities: Shares of the weights that shall go.
        recomputations: Steps in which each sparsity is reached.
        batch_size: Examples a training step.
        log_every: Steps between two records of the loss.
        val_every: Steps between two evaluations on the validation part, a multiple of ``log_every``.

    Raises:
        ConfigError: ``val_every`` is no multiple of ``log_every``; ``network`` or ``optimizer`` is missing.
    """

    def __init__(
        self,
        *,
        data: Labelled,
        network: Callable[[int, int], nn.Module],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        pruner: Pruner | None = None,
        sparsities: Sequence[Annotated[float, Range(0, 1, below=True)]] = (),
        recomputations: Count = 1,
        batch_size: Count = 64,
        log_every: Count = 50,
        val_every: Count = 50,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("influence", network=network, optimizer=optimizer)
        self.data, self.pruner = data, Dense() if pruner is None else pruner
        self.network = network(data.in_features, data.classes)
        self.sparsities, self.recomputations = list(sparsities), recomputations
        self.batch_size = batch_size
        self.draws = Draws("influence")
        self._splits: dict[str, Examples] = {}
        self._curves: dict[float, list[tuple[float, float]]] = {}
        self._gradients = 0

    def setup(self, stage: str) -> None:
        """Read the data, once."""
        if self._splits:
            return
        self._splits = self.data.splits()
        self.draws.order(len(self._splits["train"].y), self.batch_size)

    def examples(self, split: str) -> Examples:
        """A part on the module's device, where it stays."""
        part = self._splits[split]
        if part.x.device != self.device:
            part = self._splits[split] = Examples(part.x.to(self.device), part.y.to(self.device))
        return part

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of the next batch."""
        train, index = self.examples("train"), self.draws.batch().to(self.device)
        return nn.functional.cross_entropy(self.network(train.x[index]), train.y[index]), {}

    def held_out_metrics(self) -> dict[str, float]:
        accuracy, loss = self._judge("val")
        return {"val/loss": loss, "val/accuracy": accuracy}

    def _judge(self, split: str) -> tuple[float, float]:
        """Accuracy and cross-entropy of the network on a part of the data."""
        examples = self.examples(split)
        self.network.eval()
        with torch.no_grad():
            outputs = self.network(examples.x)
        self.network.train()
        loss = nn.functional.cross_entropy(outputs.double(), examples.y)
        return accuracy(outputs, examples.y), float(loss)

    def test_step(self, batch: int, batch_idx: int) -> None:
        dense, loss = self._judge("test")
        metrics = {"accuracy": dense, "loss": loss}
        self._curves, self._gradients = {}, 0
        for sparsity in self.sparsities:
            # Pruners differentiate, which inference mode forbids.
            with torch.inference_mode(False), torch.enable_grad():
                self._curves[sparsity] = self._prune(sparsity)
            reached, after = self._curves[sparsity][-1]
            metrics |= {f"accuracy_{100 * sparsity:g}": after, f"sparsity_{100 * sparsity:g}": reached}
        self.log_dict(metrics, batch_size=1)

    def _prune(self, sparsity: float) -> list[tuple[float, float]]:
        """Sparsity and test accuracy, first of the dense network, then after each step."""
        train, test = (Examples(*(part.clone() for part in self.examples(name))) for name in ("train", "test"))
        # Its own stream for every sparsity: a figure with more points does not change the others.
        model = Weights(self.network.eval(), train, stream(f"influence/pruning {sparsity}"))
        weights = model.flat()
        mask = torch.ones_like(weights, dtype=torch.bool)
        curve = [(0.0, self._accuracy(model, weights, test))]
        for keep in schedule(len(weights), sparsity, self.recomputations):
            weights, mask = self.pruner(model, weights, mask, keep)
            curve.append((1 - float(mask.double().mean()), self._accuracy(model, weights, test)))
        self._gradients += model.gradients_taken
        return curve

    @staticmethod
    def _accuracy(model: Weights, weights: Tensor, test: Examples) -> float:
        with torch.no_grad():
            return accuracy(model.outputs(weights, test.x), test.y)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["classifier"] = self.draws.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.draws.load_state_dict(checkpoint["classifier"])

    def cost(self) -> dict[str, int | float]:
        """Gradients that pruning took."""
        return {"pruning_gradients": self._gradients}

    def figures(self) -> dict[str, Figure]:
        """Accuracy against sparsity, for every sparsity asked for the way to it."""
        if not self._curves:
            return {}
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.5, 3.4), layout="constrained")
        axes = figure.add_subplot(xlabel="pruned weights [%]", ylabel="test accuracy [%]")
        for sparsity, curve in self._curves.items():
            share, correct = torch.tensor(curve).mul(100).T
            axes.plot(share, correct, "o-", markersize=3, label=f"to {100 * sparsity:g} %")
        axes.legend(frameon=False)
        return {"accuracy_against_sparsity": figure}


def accuracy(outputs: Tensor, y: Tensor) -> float:
    """Share of examples ``(n,)`` whose class has the highest output ``(n, classes)``."""
    return float((outputs.argmax(1) == y).double().mean())
