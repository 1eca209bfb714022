"""What the terminal shows while a run trains.

A live bar on a terminal; elsewhere one plain line now and then, so that a log file stays readable.
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sciml.stage import stages

PLAIN_EVERY = 10.0  # seconds between two plain lines
TERMINAL_EVERY = 0.5  # between two changes of the line on a terminal


class Bar(Callback):
    """Step count, loss terms, steps per second and time left; of a test how long it takes, and what it is at.

    Args:
        console: Where to; whether it is a terminal decides the form.
        name: What is running.
    """

    def __init__(self, console: Console, name: str) -> None:
        self.console, self.name = console, name
        self._progress: Progress | None = None
        self._watch: threading.Thread | None = None
        self._line = 0.0
        self._over = threading.Event()
        self._first_step, self._first_time = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar at the step that the run starts or resumes from."""
        self._first_step, self._first_time = trainer.global_step, time.monotonic()
        self._line = self._first_time
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("[cyan]{task.fields[losses]}"),
                TextColumn("[dim]{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._progress.add_task(
                self.name, total=trainer.max_steps, completed=trainer.global_step, losses="", rate=""
            )
            self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the losses that were logged last."""
        now, step = time.monotonic(), trainer.global_step
        if self._progress is None and now - self._line < PLAIN_EVERY and step < trainer.max_steps:
            return
        rate = (step - self._first_step) / max(now - self._first_time, 1e-9)
        losses = "  ".join(f"{n} {v:.2e}" for n, v in _losses(trainer).items())
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=step, losses=losses, rate=f"{rate:.0f} steps/s")
            return
        self._line = now
        left = (trainer.max_steps - step) / max(rate, 1e-9)
        self.console.print(
            f"{self.name}: step {step}/{trainer.max_steps}  {losses}  {rate:.0f} steps/s  {left:.0f} s left",
            highlight=False, soft_wrap=True,
        )  # fmt: skip

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self.close()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to say how long it takes: what only tests, such as a solver or an attribution, may take hours."""
        self._over.clear()
        self._watch = threading.Thread(target=self._say, name="progress", daemon=True)
        self._watch.start()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say no more."""
        self.close()

    def _say(self) -> None:
        started = time.monotonic()
        live = self.console.status("") if self.console.is_terminal else None
        with live or nullcontext():
            while not self._over.wait(PLAIN_EVERY if live is None else TERMINAL_EVERY):
                line = ", ".join(filter(None, (f"{self.name}: test, {time.monotonic() - started:.0f} s", stages())))
                if live is None:
                    self.console.print(line, highlight=False, markup=False, soft_wrap=True)
                else:
                    live.update(escape(line))

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.close()

    def close(self) -> None:
        """Stop drawing; safe to call twice."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if self._watch is not None:
            self._over.set()
            self._watch.join()
            self._watch = None


def _losses(trainer: Trainer) -> dict[str, float]:
    metrics = {n: float(v) for n, v in trainer.callback_metrics.items()}
    train = {n.removeprefix("train/"): v for n, v in metrics.items() if n.startswith("train/")}
    held_out = {"held-out": metrics["val/loss"]} if "val/loss" in metrics else {}
    return {**train, **held_out}
