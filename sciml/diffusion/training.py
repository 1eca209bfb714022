r"""Training of a denoiser, the learned prior of reconstructions: minimise

.. math:: E_{\sigma, x, \epsilon}\ \lambda(\sigma)\,\|D(x + \sigma\epsilon; \sigma) - x\|^2 / d

over fields x of a dataset. What D makes of a network, the law of the noise levels and the weight :math:`\lambda` are
the preconditioner's matter (:mod:`sciml.diffusion.preconditioner.base`). Karras et al. (2022), *Elucidating the Design
Space of Diffusion-Based Generative Models*, eq. 2; the weights that are tested are averages over the steps, as there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.average import Average
from sciml.data.dihedral import dihedral
from sciml.data.draws import Draws
from sciml.data.stream import normal, stream
from sciml.diffusion.base import Dataset, Sampler
from sciml.diffusion.denoised import Denoised
from sciml.diffusion.gaussian_fit import GaussianFit
from sciml.diffusion.preconditioner.base import Preconditioner
from sciml.errors import ConfigError
from sciml.parallel import check_network, check_rows, ranks
from sciml.ranges import Count, Momentum, Positive
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANK = 64  # principal components of the Gaussian that the denoiser is held against
SHOWN = 3  # generated fields in a figure


class Denoising(Trained):
    """A denoiser trained on a dataset.

    Metrics: for each level of ``tested_at``, root mean square errors per entry of the denoised test split,
    ``rms_<level>``, and of the denoiser of a normal distribution with the mean and the covariance of the training
    split (diagonal in cosines or waves but for 64 principal components), ``rms_<level>_gaussian``: the floor.

    Args:
        dataset: The fields.
        network: Called with the numbers of input and output channels, and ``conditions=1``.
        preconditioner: Makes the network a denoiser.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        sampler: Draws the fields of a figure.
        dihedral: Turn and reflect each example at random, as the square allows; the fields' law must be the same.
        ema: Decay of the moving average of the weights with which is tested; 0: the weights themselves.
        batch_size: Examples a step.
        tested_at: Noise levels of the test.
        log_every: Steps between two records of the loss.
        val_every: Steps between two evaluations on the validation split, a multiple of ``log_every``.

    Raises:
        ConfigError: A slot is empty, a number out of its range, the network takes no condition, or the grid is no
            square and ``dihedral`` is asked for.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        network: Callable[..., nn.Module],
        preconditioner: Preconditioner,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        sampler: Sampler | None = None,
        dihedral: bool = False,
        ema: Momentum = 0.999,
        batch_size: Count = 64,
        tested_at: Sequence[Positive] = (0.1, 1.0, 10.0),
        log_every: Count = 50,
        val_every: Count = 250,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("diffusion", network=network, optimizer=optimizer)
        if "conditions" not in inspect.signature(network).parameters:
            raise ConfigError("diffusion.network must take a condition, the noise level, as network=denoiser does")
        grid = dataset.shape[:-1]
        if dihedral and (len(grid) != 2 or grid[0] != grid[1] or dataset.periodic[0] != dataset.periodic[1]):
            raise ConfigError(f"diffusion.dihedral needs a square grid with two alike axes; the dataset has {grid}")
        if not tested_at:
            raise ConfigError("diffusion.tested_at is empty; it must be one or more noise levels")
        self.dataset, self.sampler = dataset, sampler
        self.dihedral, self.batch_size, self.tested_at = dihedral, batch_size, tuple(tested_at)
        self.preconditioner, self.denoiser = preconditioner, preconditioner.denoiser(network, dataset.shape)
        self.average = Average(self.denoiser, ema)
        self.evaluations = 0  # fields that training sent through the network
        self.draws = Draws("denoising", "levels", "noise", "symmetry")
        self._splits: dict[str, Tensor] = {}
        self._gaussian: GaussianFit | None = None

    def setup(self, stage: str) -> None:
        """Make the data, once. They are no part of a checkpoint: the dataset's parameters are."""
        if self._splits:
            return
        self._splits = self.dataset.splits()
        if stage == "fit":  # a module that is only tested has it from a checkpoint
            self.denoiser.fit(self.split("train"))
        self.draws.order(len(self._splits["train"]), self.batch_size)

    def split(self, name: str) -> Tensor:
        """A split, on the module's device, where it stays."""
        self._splits[name] = self._splits[name].to(self.device)
        return self._splits[name]

    # ------------------------------------------------------------ training

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted error on the next batch."""
        group, n = ranks(), self.batch_size
        index = self.draws.batch()
        uniform = torch.rand(n, generator=self.draws["levels"], dtype=torch.float64)
        noise = torch.randn((n, *self.dataset.shape), generator=self.draws["noise"])
        x = self.split("train")[group.share(index).to(self.device)]
        if self.dihedral:
            chosen = torch.rand(n, 3, generator=self.draws["symmetry"]) < 0.5
            closed = self.dataset.periodic[0]
            x = dihedral(x, group.share(chosen).to(self.device), closed=closed)
        loss = self._error(x, group.share(uniform), group.share(noise)) / n
        if group.size > 1:
            loss = group.total(loss)
        self.evaluations += n
        return loss, {}

    def _error(self, x: Tensor, uniform: Tensor, noise: Tensor) -> Tensor:
        """The weighted mean square error of the entries, a sum over the fields."""
        sigma = self.preconditioner.levels(uniform).to(x.device)
        weight = self.denoiser.weight(sigma).to(x.dtype)[(slice(None), *[None] * (x.dim() - 2))]
        noisy = x + sigma.to(x.dtype)[(..., *[None] * (x.dim() - 1))] * noise.to(x.device)
        return (weight * (self.denoiser(noisy, sigma) - x).square()).flatten(1).mean(1).sum()

    def check_shares(self, size: int) -> None:
        check_rows({"a batch": self.batch_size}, size)
        check_network(self.denoiser)

    def configure_optimizers(self) -> Any:
        built = super().configure_optimizers()
        self.average.follow(built["optimizer"] if isinstance(built, dict) else built)
        return built

    def held_out_metrics(self) -> dict[str, Tensor]:
        """The loss on the validation split: the same noise every time, the levels spread evenly over their law."""
        val = self.split("val")
        uniform = (torch.arange(len(val), dtype=torch.float64) + 0.5) / len(val)
        noise = torch.randn(val.shape, generator=stream("denoising/held-out", 0))
        total = torch.zeros((), device=self.device)
        self.eval()
        with torch.no_grad(), self.average.applied():
            for part in zip(*(t.split(self.batch_size) for t in (val, uniform, noise)), strict=True):
                total += self._error(*part)
        self.train()
        return {"val/loss": total / len(val)}

    # ------------------------------------------------------------ test

    def test_step(self, batch: int, batch_idx: int) -> None:
        found = {}
        with self.average.applied():
            for level in self.tested_at:
                noisy, denoised = self._denoised(level)
                test = self.split("test").double()
                found[f"rms_{level:g}"] = (denoised - test).square().mean().sqrt()
                floor = self.gaussian().denoise(noisy, level)
                found[f"rms_{level:g}_gaussian"] = (floor - test).square().mean().sqrt()
        self.log_dict(found, batch_size=1)

    def gaussian(self) -> GaussianFit:
        """The normal distribution fitted to the training split."""
        if self._gaussian is None:
            train = self.split("train")
            rank = min(RANK, len(train) - 1, train[0].numel())
            self._gaussian = GaussianFit(train, self.dataset.periodic, rank=rank).to(self.device)
        return self._gaussian

    def prior(self) -> Denoised:
        """What samplers and solvers see of the denoiser, with the weights that it has at present."""
        return Denoised(self.denoiser.mean, self.device)

    def _denoised(self, level: float) -> tuple[Tensor, Tensor]:
        """The test split noised, always by the same numbers, and denoised, both float64."""
        test = self.split("test").double()
        noisy = test + level * normal(tuple(test.shape), stream("denoising/test", 0), test)
        with torch.no_grad():
            parts = [self.denoiser.mean(part, level) for part in noisy.split(self.batch_size)]
        return noisy, torch.cat(parts)

    def figures(self) -> dict[str, Figure]:
        """Test fields with noise and without it again, and fields drawn from noise by the sampler."""
        from sciml.diffusion.gallery import gallery

        rows = {}
        with self.average.applied():
            for level in self.tested_at:
                noisy, denoised = self._denoised(level)
                parts = {"noisy": noisy[0], "denoised": denoised[0], "truth": self.split("test")[0]}
                rows[f"noise {level:g}"] = {name: part.cpu() for name, part in parts.items()}
            found = {"denoised": gallery(rows, self.dataset.names)}
            if self.sampler is not None:
                with torch.no_grad():
                    test = self.split("test")[:SHOWN].cpu()
                    shape, generator = tuple(test.shape), stream("denoising/sampler", 0)
                    drawn = self.sampler(self.prior(), shape, generator).cpu()
                fields = {"generated": drawn, "data": test}
                columns = {name: {f"{i + 1}": x for i, x in enumerate(part)} for name, part in fields.items()}
                found["generated"] = gallery(columns, self.dataset.names)
        return found

    # ------------------------------------------------------------ state

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["denoising"] = {**self.draws.state_dict(), "evaluations": self.evaluations}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["denoising"]
        self.evaluations = state["evaluations"]
        self.draws.load_state_dict(state)

    def cost(self) -> dict[str, int | float]:
        """Fields that training sent through the network."""
        return {"network_evaluations": self.evaluations}
