"""Learning an operator from pairs of fields: minimise the relative L2 error of the states that follow an input.

Source of the loss: Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*,
section 5: the mean over a batch of relative L2 errors of decoded fields. Normalisation is one affine map a
channel, fitted on the training split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.data.batches import Batches
from sciml.data.stream import stream
from sciml.metric import relative_l2_each
from sciml.operator.base import Dataset, Fields, Rollout
from sciml.operator.evaluation import error_figure, errors_by_step, metrics, predict
from sciml.operator.normalized import Normalized
from sciml.parallel import check_network, check_rows, ranks
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Operator(Trained):
    """A network trained on a dataset through a rollout.

    Args:
        dataset: The fields.
        network: Called with the numbers of input and output channels.
        rollout: Makes trajectories out of the network; training unrolls as many states as its targets have.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        batch_size: Examples a step.
        log_every: Steps between two records of the loss.
        val_every: Steps between two evaluations on the validation split, a multiple of ``log_every``.

    Raises:
        ConfigError: ``val_every`` is no multiple of ``log_every``, or ``network`` or ``optimizer`` is missing.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        network: Callable[[int, int], nn.Module],
        rollout: Rollout,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        batch_size: int = 32,
        log_every: int = 50,
        val_every: int = 250,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("operator", network=network, optimizer=optimizer)
        self.dataset, self.rollout = dataset, rollout
        inner = network(dataset.in_channels, dataset.out_channels)
        self.network = Normalized(inner, dataset.in_channels, dataset.out_channels)
        self.batch_size = batch_size
        self.evaluations = 0  # fields that training sent through the network
        self._evaluated = torch.zeros((), dtype=torch.float64)  # by all ranks, not yet counted
        self._batches_stream, self._batches_state = stream("operator/batches"), None
        self._splits: dict[str, Fields] = {}
        self._errors: dict[str, Tensor] = {}

    def setup(self, stage: str) -> None:
        """Make the data, once. They are no part of a checkpoint: the dataset's parameters are."""
        if self._splits:
            return
        self._splits = self.dataset.splits()
        if stage == "fit":  # a module that is only tested has its statistics from a checkpoint
            self.network.fit(self._splits["train"])
        self.batches = Batches(len(self._splits["train"].input), self.batch_size, self._batches_stream)
        if self._batches_state is not None:
            self.batches.load_state_dict(self._batches_state)

    def fields(self, split: str) -> Fields:
        """A split on the module's device, where it stays."""
        fields = self._splits[split]
        if fields.input.device != self.device:
            fields = self._splits[split] = Fields(fields.input.to(self.device), fields.target.to(self.device))
        return fields

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the next batch."""
        group, before = ranks(), self.evaluations
        train, index = self.fields("train"), group.share(self.batches.next()).to(self.device)
        u, target = train.input[index], train.target[index]
        prediction = self.rollout(self._counted, u, target.shape[1])
        loss = relative_l2_each(prediction, target).mean()
        if group.size > 1:
            # The mean over the batch, as the sum over the ranks of what each share adds to it.
            added, counted = loss * (len(index) / self.batch_size), self.evaluations - before
            loss, evaluated = group.total(torch.stack([added, added.new_tensor(counted)])).unbind()
            self.evaluations = before
            self._evaluated = self._evaluated + evaluated.detach()  # read when needed: a GPU is not waited for
        return loss, {}

    def check_shares(self, size: int) -> None:
        check_rows({"a batch": self.batch_size}, size)
        check_network(self.network)

    def _count(self) -> int:
        """Evaluations so far, those of the other ranks included."""
        self.evaluations += round(float(self._evaluated))
        self._evaluated = torch.zeros((), dtype=torch.float64)
        return self.evaluations

    def _counted(self, u: Tensor) -> Tensor:
        self.evaluations += len(u)
        return self.network(u)

    def held_out_metrics(self) -> dict[str, Tensor]:
        return {"val/loss": self.held_out_loss()}

    def held_out_loss(self) -> Tensor:
        """The loss on the whole validation split."""
        self.eval()
        with torch.no_grad():
            val = self.fields("val")
            prediction = predict(self.network, self.rollout, val, self.batch_size)
            loss = relative_l2_each(prediction, val.target).mean()
        self.train()
        return loss

    def test_step(self, batch: int, batch_idx: int) -> None:
        self._errors = {}
        for split in (name for name in self._splits if name.startswith("test")):
            fields = self.fields(split)
            prediction = predict(self.network, self.rollout, fields, self.batch_size)
            self._errors[split] = errors_by_step(prediction, fields.target)
        self.log_dict(metrics(self._errors), batch_size=1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["operator"] = {"batches": self.batches.state_dict(), "evaluations": self._count()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["operator"]
        self.evaluations, self._batches_state = state["evaluations"], state["batches"]
        if self._splits:
            self.batches.load_state_dict(self._batches_state)

    def cost(self) -> dict[str, int | float]:
        """Fields that training sent through the network."""
        return {"network_evaluations": self._count()}

    def figures(self) -> dict[str, Figure]:
        """Error against step of every test."""
        return {"error_by_step": error_figure(self._errors)}
