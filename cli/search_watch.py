"""How the trials of a search go: a line when one begins or ends, and what runs now."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sciml.folder import RunFolder
from sciml.launcher.local import View

from . import screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sciml.search import Study, Trial

LOOK = 0.5  # seconds between two looks at the study
PLAIN_EVERY = 20.0  # seconds between two progress lines where there is no terminal


class Lines(View):
    """Plain lines.

    Args:
        study: Of the search.
        total: Trials in all.
        console: Where to.
    """

    def __init__(self, study: Study, total: int, console: Any) -> None:
        self.study, self.total, self.console = study, total, console
        self._said = {trial.number: trial.state for trial in study.trials() if trial.state != "running"}
        self._looked = 0.0
        self._line = time.monotonic()

    def update(self) -> None:
        """Say what has changed."""
        trials = self.study.trials()
        for trial in trials:
            if self._said.get(trial.number) != trial.state:
                self._said[trial.number] = trial.state
                self.say(_news(trial))
                if trial.state != "running":
                    self._line = time.monotonic()
        self._looked = time.monotonic()

    def tick(self) -> None:
        """Called often: look now and then."""
        if time.monotonic() - self._looked < LOOK:
            return
        self.update()
        if time.monotonic() - self._line >= PLAIN_EVERY:
            self._line = time.monotonic()
            self.say("       " + ", ".join([*map(self.running, self._running()), self.summary()]))

    def say(self, text: str) -> None:
        """One line."""
        from rich.text import Text

        self.console.print(Text(text), soft_wrap=True)

    def running(self, trial: Trial) -> str:
        """How far the run of a trial is."""
        steps = [RunFolder(self.study.outputs / run).read_status().get("step", 0) for run in trial.runs]
        return f"trial {trial.number} step {max(steps, default=0)}"

    def summary(self) -> str:
        """How far the search is."""
        trials = self.study.trials()
        ended = sum(trial.state != "running" for trial in trials)
        return f"{ended} of {self.total} trials{best_of(self.study, trials)}"

    def _running(self) -> list[Trial]:
        return [trial for trial in self.study.trials() if trial.state == "running"]


class Live(Lines):
    """The running trials, redrawn in place; what has ended scrolls by above them."""

    def __init__(self, study: Study, total: int, console: Any) -> None:
        from rich.live import Live as RichLive

        super().__init__(study, total, console)
        # No thread of rich's own: processes are started from this one.
        self._live = RichLive(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def tick(self) -> None:
        """Redraw now and then."""
        if time.monotonic() - self._looked < LOOK:
            return
        from rich.console import Group
        from rich.text import Text

        self.update()
        lines = [Text(self.running(trial), "bold") for trial in self._running()]
        self._live.update(Group(*lines, Text(self.summary(), "dim")), refresh=True)

    def close(self) -> None:
        """Stop drawing."""
        self._live.stop()


@contextmanager
def watching(study: Study, total: int) -> Iterator[Lines]:
    """Show how a search goes while the block runs: a live view on a terminal, lines elsewhere."""
    console = screen.err()
    if not console.is_terminal:
        yield Lines(study, total, console)
        return
    live = Live(study, total, console)
    try:
        yield live
    finally:
        live.close()


def best_of(study: Study, trials: list[Trial]) -> str:
    """The best trial so far, in words; empty if none is done."""
    pick: Callable[..., Any] = min if study.spec.direction == "minimize" else max
    done = [trial for trial in trials if trial.value is not None]
    if not done:
        return ""
    best = pick(done, key=lambda trial: trial.value)
    return f", best {screen.number(best.value)} in trial {best.number}"


def _news(trial: Trial) -> str:
    label = f"trial {trial.number}"
    if trial.state == "done" and trial.value is not None:
        return f"done   {label}: {screen.number(trial.value)} ({trial.seconds or 0:.1f} s)"
    if trial.state == "failed":
        return f"failed {label}: {trial.error}"
    return f"start  {label}: {' '.join(f'{name}={short(text)}' for name, text in trial.params.items())}"


def short(text: str) -> str:
    """A value for people: of a long number four digits."""
    try:
        return f"{float(text):.4g}" if len(text) > 7 else text
    except ValueError:
        return text
