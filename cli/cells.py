"""Runs side by side on this machine, each in a process of its own, and what the user sees of them.

The output of a run goes to ``<run folder>/run.log``. A run that another process owns is waited for, not
failed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sciml.errors import Stopped
from sciml.folder import RunFolder
from sciml.launcher.local import Local, Process

from .watch import display

RETRY = 15.0  # seconds until a run that another process owned is tried again
_OWNED = "is in use by"


@dataclass(kw_only=True)
class Job(Process):
    """One run.

    Args:
        label: What tells it from the others.
        folder: Its run folder.
        steps: Optimiser steps of the run; 0 if it does not train.
        describe: Says what was obtained, once there is a row.
    """

    label: str
    folder: RunFolder
    steps: int
    describe: Callable[[], str]

    def start(self) -> None:
        """Start the process.

        Raises:
            RunError: The run folder cannot be written.
        """
        self.folder.create()
        super().start()

    def end(self, code: int, *, stopping: bool) -> None:
        """Note how the process ended."""
        super().end(code, stopping=stopping)
        if self.state == "stopped":
            saved = self.folder.read_status().get("state") == "stopped"
            self.error = f"saved at step {self.step}" if saved else "nothing saved since it started"
        elif _OWNED in self.error:
            self.state, self.again = "waiting", time.monotonic() + RETRY

    def settled(self) -> bool:
        """Whether the process that owned the folder has finished the run."""
        return self.folder.row.exists()

    @property
    def step(self) -> int:
        """The step that the run filed last."""
        step = self.folder.read_status().get("step", 0)
        return step if isinstance(step, int) else 0


def run_all(jobs: Sequence[Job], launcher: Local) -> int | None:
    """Run jobs in their order, and show how they go.

    Returns:
        The signal that ended it early, if one did.

    Raises:
        UsageError: A row lacks the metric that is asked for; all other runs are stopped.
    """
    with display(jobs, launcher.width(jobs)) as view:
        try:
            launcher.run(jobs, view)
        except Stopped as stopped:
            return stopped.signum
    return None
