"""Learning an operator from pairs of fields: minimise the error of the states that follow an input.

What the network predicts is the stepper's matter (:mod:`sciml.operator.stepper.base`), how training unrolls it the
rollout's, what counts as an error the loss's. The plain case is that of Li et al. (2021), *Fourier Neural Operator for
Parametric Partial Differential Equations*, section 5: the mean over a batch of relative L2 errors of decoded fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.average import Average
from sciml.data.draws import Draws
from sciml.data.normalizer import Normalizer
from sciml.errors import ConfigError
from sciml.given import given, numbers
from sciml.kernel.fusing import fusing
from sciml.operator.base import Augmentation, Dataset, FieldMap, Loss, Rollout, Split
from sciml.operator.evaluation import Scores, error_figures, evaluate, field_figure, metrics
from sciml.operator.stepper.base import Stepper
from sciml.parallel import check_network, check_rows, ranks
from sciml.ranges import Count, Momentum
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


# Compiling takes a second or two, and saves a hundredth of a second a step and more where there is something to fuse.
FUSED_STEPS = 200


class Operator(Trained):
    """A network trained on a dataset through a rollout.

    Args:
        dataset: The fields.
        network: Called with the numbers of input and output channels.
        stepper: What the network predicts; called with network, dataset and normalizer.
        rollout: How training unrolls; tests feed predictions back.
        loss: Compares states; called with the dataset's ``periodic``.
        normalizer: Called with a number of channels and the training grid.
        augmentation: Symmetries to apply at random; called with the dataset's ``periodic``.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        positions: Whether the network sees coordinates as further channels.
        ema: Decay of the moving average of the weights with which is tested; 0: the weights themselves.
        batch_size: Examples a step.
        log_every: Steps between two records of the loss.
        val_every: Steps between two evaluations on the validation split, a multiple of ``log_every``.

    Raises:
        ConfigError: ``val_every`` is no multiple of ``log_every``, ``network`` or ``optimizer`` is missing, or ``ema``
            is not in [0, 1).
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        network: Callable[[int, int], nn.Module],
        stepper: Callable[..., Stepper],
        rollout: Rollout,
        loss: Callable[[tuple[bool, ...]], Loss],
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        augmentation: Callable[[tuple[bool, ...]], Augmentation] | None = None,
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        positions: bool = False,
        ema: Momentum = 0.0,
        batch_size: Count = 32,
        log_every: Count = 50,
        val_every: Count = 250,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("operator", network=network, optimizer=optimizer)
        self.dataset, self.rollout, self.loss = dataset, rollout, loss(dataset.periodic)
        self.augmentation = augmentation and augmentation(dataset.periodic)
        self.stepper = stepper(network, dataset, normalizer, positions=positions)
        self.average = Average(self.stepper, ema)
        self.batch_size = batch_size
        self.evaluations = 0  # fields that training sent through the network
        self._evaluated = torch.zeros((), dtype=torch.float64)  # by all ranks, not yet counted
        self.draws = Draws("operator", "augmentation", "noise")
        self._fuses = False
        self._splits: dict[str, Split] = {}
        self._scores: dict[str, Scores] = {}
        self.stepper.network.register_forward_pre_hook(self._counted)

    def setup(self, stage: str) -> None:
        """Make the data, once. They are no part of a checkpoint: the dataset's parameters are."""
        if self._splits:
            return
        self._splits = self.dataset.splits()
        if stage == "fit":  # a module that is only tested has its statistics from a checkpoint
            self.stepper.fit(self._splits["train"])
        self.draws.order(self._splits["train"].n, self.batch_size)

    def on_fit_start(self) -> None:
        """Compile programs for parts of the network in a run that is long enough; resumed, it computes as it did."""
        self._fuses = not 0 <= self.trainer.max_steps < FUSED_STEPS

    def split(self, name: str) -> Split:
        """A split; what lies in memory is on the module's device, where it stays."""
        self._splits[name] = self._splits[name].to(self.device)
        return self._splits[name]

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the next batch."""
        group, before = ranks(), self.evaluations
        fields = self.split("train").take(group.share(self.draws.batch()), self.device)
        if self.augmentation is not None:
            shape = (self.batch_size, self.augmentation.numbers)
            fields = self.augmentation(fields, group.share(torch.rand(shape, generator=self.draws["augmentation"])))
        with fusing() if self._fuses else nullcontext():
            loss = self.stepper.loss(*fields, self.rollout, self.loss, self.draws["noise"])
        if group.size > 1:
            # The mean over the batch, as the sum over the ranks of what each share adds to it.
            added, counted = loss * (len(fields.input) / self.batch_size), self.evaluations - before
            loss, evaluated = group.total(torch.stack([added, added.new_tensor(counted)])).unbind()
            self.evaluations = before
            self._evaluated = self._evaluated + evaluated.detach()  # read when needed: a GPU is not waited for
        return loss, {}

    def check_shares(self, size: int) -> None:
        check_rows({"a batch": self.batch_size}, size)
        check_network(self.stepper)
        if size > 1 and self.stepper.stochastic:
            raise ConfigError(
                f"operator.stepper {type(self.stepper).__name__.lower()} draws random numbers for a whole batch and"
                " cannot share it; set trainer.devices=1"
            )

    def _count(self) -> int:
        """Evaluations so far, those of the other ranks included."""
        self.evaluations += round(float(self._evaluated))
        self._evaluated = torch.zeros((), dtype=torch.float64)
        return self.evaluations

    def _counted(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        if network.training:  # tests are not
            self.evaluations += len(arguments[0])

    def configure_optimizers(self) -> Any:
        built = super().configure_optimizers()
        self.average.follow(built["optimizer"] if isinstance(built, dict) else built)
        return built

    def predictor(self) -> FieldMap:
        """What is validated and tested, for one batch of trajectories."""
        return self.augmentation.averaged(self.stepper.start) if self.augmentation else self.stepper.start()

    def predict(self, inputs: Any, steps: int = 1) -> np.ndarray:
        """The states that follow fields of your own, on their own grid, in the units of the training data.

        Args:
            inputs: ``(n, *grid, in_channels)``; of several past frames, the oldest comes first. Where there is one
                channel its axis may be left out.
            steps: How many states, each predicted from the ones before; 1 for a map.

        Returns:
            ``(n, steps, *grid, out_channels)``.

        Raises:
            ValueError: The fields have another number of axes or channels, or a number is not finite.
            RunError: There is more than one step, and what is predicted cannot be fed back.
        """
        u, channels, axes = given(inputs, self.stepper), self.dataset.in_channels, len(self.dataset.grid)
        if channels == 1 and u.ndim == axes + 1:
            u = u[..., None]
        if u.ndim != axes + 2 or u.shape[-1] != channels:
            grid = ", ".join(f"grid {axis}" for axis in range(axes))
            raise ValueError(f"inputs have the shape {tuple(u.shape)}, expected (n, {grid}, {channels} channels)")
        self.eval()
        with torch.no_grad(), self.average.applied():
            parts = [self.rollout(self.predictor(), part, steps) for part in u.split(self.batch_size)]
        return numbers(torch.cat(parts))

    def held_out_metrics(self) -> dict[str, Tensor]:
        return {"val/loss": self.held_out_loss()}

    def held_out_loss(self) -> Tensor:
        """The loss of the predicted trajectories of the whole validation split."""
        self.eval()
        total = torch.zeros((), device=self.device)
        val = self.split("val")
        with torch.no_grad(), self.average.applied():
            for u, target in val.batches(self.batch_size, self.device):
                total += self.loss(self.rollout(self.predictor(), u, val.steps), target) * (len(u) / val.n)
        self.train()
        return total

    def test_step(self, batch: int, batch_idx: int) -> None:
        with self.average.applied():
            self._scores = {name: self._tested(name) for name in self._splits if name.startswith("test")}
        self.log_dict(metrics(self._scores), batch_size=1)

    def _tested(self, name: str) -> Scores:
        split = self.split(name)
        return evaluate(self.predictor, self.rollout, self.dataset, split, self.batch_size, self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["operator"] = {**self.draws.state_dict(), "evaluations": self._count()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["operator"]
        self.evaluations = state["evaluations"]
        self.draws.load_state_dict(state)

    def cost(self) -> dict[str, int | float]:
        """Fields that training sent through the network."""
        return {"network_evaluations": self._count()}

    def figures(self) -> dict[str, Figure]:
        """Errors of every test, and one example of the first."""
        split = self.split("test")
        u, target = split.take(slice(0, 1), self.device)
        with torch.no_grad(), self.average.applied():
            prediction = self.rollout(self.predictor(), u, split.steps)
        return {
            **error_figures(self._scores),
            "example": field_figure(u[0], prediction[0, -1], target[0, -1]),
        }
