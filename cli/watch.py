"""How runs side by side go: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sciml.launcher.local import View

from . import screen

if TYPE_CHECKING:
    from .cells import Job

PLAIN_EVERY = 20.0  # seconds between two progress lines where there is no terminal


@contextmanager
def display(jobs: Sequence[Job], width: int) -> Iterator[Display]:
    """Show how jobs go while the block runs: a live view on a terminal, lines elsewhere."""
    console = screen.err()
    view = Live(jobs, width, console) if console.is_terminal else Display(jobs, width, console)
    try:
        yield view
    finally:
        view.close()


class Display(View):
    """Plain lines: one when a run starts, one when it ends, one now and then between."""

    def __init__(self, jobs: Sequence[Job], width: int, console: Any) -> None:
        self.jobs, self.width, self.console = jobs, width, console
        self._line = time.monotonic()

    def started(self, job: Job) -> None:
        """A run has started."""
        self.say(f"start  {job.label}")

    def ended(self, job: Job) -> None:
        """A run has ended."""
        if job.state == "done":
            self.say(f"done   {job.label}: {job.describe()} ({job.seconds:.0f} s)")
        elif job.state == "waiting":
            self.say(f"wait   {job.label}: {job.error}")
        else:
            self.say(f"{job.state:6} {job.label}: {job.error}")

    def say(self, text: str) -> None:
        """One line."""
        from rich.text import Text

        self.console.print(Text(text), soft_wrap=True)

    def tick(self) -> None:
        """Called ten times a second."""
        if time.monotonic() - self._line >= PLAIN_EVERY:
            self._line = time.monotonic()
            running = [f"{job.label} {_progress(job)}".rstrip() for job in self.jobs if job.state == "running"]
            self.say(f"       {', '.join([*running, self.summary()])}")

    def summary(self) -> str:
        """How far all of it is, and how long it may take."""
        done = [job for job in self.jobs if job.state in ("done", "failed")]
        text = f"{len(done)} of {len(self.jobs)} runs done"
        timed = [job.seconds for job in done if job.seconds]
        if timed and len(done) < len(self.jobs):
            each = sum(timed) / len(timed)
            spent = sum(min(time.monotonic() - job.since, each) for job in self.jobs if job.state == "running")
            left = ((len(self.jobs) - len(done)) * each - spent) / self.width
            text += f", about {left:.0f} s left" if left < 120 else f", about {left / 60:.0f} min left"
        return text

    def close(self) -> None:
        """Give the terminal back."""


class Live(Display):
    """The running cells, redrawn in place; what has ended scrolls by above them."""

    def __init__(self, jobs: Sequence[Job], width: int, console: Any) -> None:
        from rich.live import Live as RichLive

        super().__init__(jobs, width, console)
        # No thread of rich's own: processes are started from this one.
        self._live = RichLive(console=console, auto_refresh=False, transient=True)
        self._live.start()
        self._drawn = 0.0

    def tick(self) -> None:
        """Redraw, twice a second."""
        if time.monotonic() - self._drawn < 0.5:
            return
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        self._drawn = time.monotonic()
        grid = Table.grid(padding=(0, 2))
        for job in (job for job in self.jobs if job.state in ("running", "waiting")):
            seconds = f"{time.monotonic() - job.since:.0f} s" if job.state == "running" else ""
            grid.add_row(Text(job.label, "bold"), job.state, Text(_progress(job)), Text(seconds, "dim"))
        self._live.update(Group(grid, Text(self.summary(), "dim")), refresh=True)

    def close(self) -> None:
        """Stop drawing."""
        self._live.stop()


def _progress(job: Job) -> str:
    if job.state == "waiting":
        return job.error
    return f"step {job.step}/{job.steps}" if job.steps else ""
