"""Saving a run so that it goes on bit for bit as if it had never stopped.

``last.ckpt`` holds everything: weights, optimiser, schedule, the method's own state, and the state
of every global random generator, which Lightning leaves out; ``previous.ckpt`` is the ``last.ckpt``
before it, to go on from should that be damaged. ``best.ckpt`` holds the weights with the lowest
``val/loss``. All hold plain data only, so that loading them runs no code.
"""

from __future__ import annotations

import io
import logging
import math
import os
import pickle
import random
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from sciml.errors import Diverged, UsageError
from sciml.files import disk_error, replacing
from sciml.folder import RunFolder
from sciml.parallel import ALONE, Ranks
from sciml.signals import StopSignal

log = logging.getLogger("sciml")
BEST_BY = "val/loss"


def rng_state() -> dict[str, Any]:
    """State of the global generators of Python, NumPy and torch, as plain data."""
    numpy: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, gauss = numpy
    kind, words, next_gauss = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [kind, list(words), next_gauss],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    return state


def set_rng_state(state: dict[str, Any]) -> None:
    """Put back what :func:`rng_state` returned."""
    torch.set_rng_state(state["torch"].cpu())
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    kind, words, next_gauss = state["python"]
    random.setstate((kind, tuple(words), next_gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda"]])


def read(path: Path) -> dict[str, Any]:
    """Load a checkpoint as data.

    Raises:
        Damaged: The file is not what was once written.
        UsageError: There is none, or it holds objects that would run code when loaded.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
                if (part := archive.testzip()) is not None:
                    raise ValueError(f"{part} does not match its checksum")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its remarks on old pickles; what matters is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UsageError(f"there is no checkpoint {path}") from None
    except pickle.UnpicklingError as error:
        why = "it holds more than tensors and plain data, and is not loaded"
        raise UsageError(f"checkpoint {path}: {why}; delete it, or start afresh with --force") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise Damaged(f"checkpoint {path}: it is damaged; delete it, or start afresh with --force") from error


class Damaged(UsageError):
    """A checkpoint that cannot be read."""


def latest(folder: RunFolder) -> dict[str, Any] | None:
    """The state that a run goes on from, which is then its last; None at its start.

    If the last checkpoint is damaged or gone, the one before takes its place.

    Raises:
        RunError: The one before cannot take its place.
        UsageError: There are checkpoints, but none can be read, or one would run code.
    """
    if not folder.last.exists() and not folder.previous.exists():
        return None
    if folder.last.exists():
        try:
            return read(folder.last)
        except Damaged:
            if not folder.previous.exists():
                raise
    try:
        state = read(folder.previous)
    except Damaged as error:
        which = f"{folder.last.name} and {folder.previous.name} in {folder.path} are both"
        which = which if folder.last.exists() else f"{folder.previous} is"
        raise UsageError(f"{which} damaged; start afresh with --force") from error
    what = "damaged" if folder.last.exists() else "gone"
    log.warning(
        "%s is %s; the run goes on from the checkpoint before, step %d", folder.last, what, state["global_step"]
    )
    try:
        os.replace(folder.previous, folder.last)
    except OSError as error:
        raise disk_error(error, folder.last) from error
    return state


class _Direct(TorchCheckpointIO):
    """Writes where it is told: Lightning's own goes through another folder, and keeps silent if it may not write."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with open(path, "wb") as file:
            file.write(buffer.getbuffer())


class Checkpoint(Callback):
    """Writes ``last`` and ``best``, stops on a signal, and watches the logged losses.

    Args:
        folder: Where the full state and the best weights go.
        every_seconds: Time between two writes of ``last``; 0 writes it after every batch of steps.
        stop: Set by a signal; the trainer then ends after the step in progress.
        ranks: The processes that train together; the first one writes.
    """

    def __init__(self, folder: RunFolder, *, every_seconds: float, stop: StopSignal, ranks: Ranks = ALONE) -> None:
        self.folder, self.every_seconds, self.stop, self.ranks = folder, every_seconds, stop, ranks
        self.best_loss, self.best_step = math.inf, 0
        self._rng: dict[str, Any] | None = None
        self._saved = self._started = time.monotonic()
        self._seconds_before = 0.0

    def seconds(self) -> float:
        """Wall time of the run so far, those of its interrupted parts that count included."""
        return self._seconds_before + time.monotonic() - self._started

    def state_dict(self) -> dict[str, Any]:
        """The best so far, and the global generators."""
        return {"best_loss": self.best_loss, "best_step": self.best_step, "seconds": self.seconds(), "rng": rng_state()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state; the generators follow when training starts, after all set-up has drawn from them."""
        self.best_loss, self.best_step = state_dict["best_loss"], state_dict["best_step"]
        self._seconds_before = state_dict["seconds"]
        self._rng = state_dict["rng"]

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Have checkpoints written in a way that says when it cannot."""
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:
            trainer.strategy.checkpoint_io = _Direct()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the generators of a resumed run, and take back the signals that Lightning has just taken."""
        # Seen after the step in progress; several ranks stop after the same one.
        alone = self.ranks.size == 1
        self.stop.act = (lambda: setattr(trainer, "should_stop", True)) if alone else self.ranks.ask_to_stop
        self.stop.watch()
        if self._rng is not None:
            set_rng_state(self._rng)
            self._rng = None
        if self.stop.signum is not None:  # before training began; the trainer forgets what it was told then
            self.stop.act()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Save when it is time: now, not at the batch's end, because now its numbers have been logged."""
        if time.monotonic() - self._saved >= self.every_seconds and trainer.global_step > 0:
            self._save(trainer, self.folder.last, keep=self.folder.previous)
            self._saved = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Watch the losses and keep the best."""
        metrics = trainer.callback_metrics
        for name, value in metrics.items():
            if name.startswith("train/") and not math.isfinite(number := float(value)):
                raise Diverged(name.removeprefix("train/"), trainer.global_step, number)
        loss = float(metrics.get(BEST_BY, math.inf))
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, trainer.global_step
            self._save(trainer, self.folder.best, weights_only=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save where training ended, at its last step or because a signal stopped it."""
        self._save(trainer, self.folder.last, keep=self.folder.previous)

    def _save(self, trainer: Trainer, path: Path, *, keep: Path | None = None, weights_only: bool = False) -> None:
        if self.ranks.rank > 0:
            return
        with replacing(path, keep) as temporary:
            trainer.save_checkpoint(temporary, weights_only=weights_only)
        log.debug("saved %s at step %d", path.name, trainer.global_step)
