"""How a generation goes, on a terminal as a bar, elsewhere as a plain line now and then."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sciml.simulation.store import Watch

PLAIN_EVERY = 10.0  # seconds between two plain lines


class Shown(Watch):
    """Samples that are there, samples per second, time left.

    Args:
        console: Where to; whether it is a terminal decides the form.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress: Progress | None = None
        self._name, self._n, self._first, self._since, self._line = "", 0, 0, 0.0, 0.0

    def begin(self, name: str, done: int, n: int) -> None:
        """Say what is there already, and open the bar."""
        self._name, self._n, self._first, self._since = name, n, done, time.monotonic()
        self._line = self._since
        if done:
            self._print(f"{name}: {done} of {n} samples are there already")
        if self.console.is_terminal:
            self._progress = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                TextColumn("{task.completed:.0f}/{task.total:.0f} samples"),
                TextColumn("[dim]{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            self._progress.add_task(name, total=n, completed=done, rate="")
            self._progress.start()

    def advance(self, done: int) -> None:
        """Show how many are there."""
        now = time.monotonic()
        rate = (done - self._first) / max(now - self._since, 1e-9)
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=done, rate=f"{rate:.3g} per second")
        elif now - self._line >= PLAIN_EVERY:
            self._line = now
            left = (self._n - done) / max(rate, 1e-9)
            self._print(f"{self._name}: {done}/{self._n} samples  {rate:.3g} per second  {left:.0f} s left")

    def end(self) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def waiting(self) -> None:
        """Say so."""
        self._print("another process is making these samples: waiting for it")

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
