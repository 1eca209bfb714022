"""``sciml status``: where the runs of a sweep stand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.config import did_you_mean
from sciml.errors import RunError, UsageError

from . import screen

if TYPE_CHECKING:
    from sciml.standing import Answer, Standing
    from sciml.sweep import Sweep

FORMATS = ("text", "json")
EVERY = 2.0  # seconds between two looks of --watch
_COLOURS = {
    "queued": "dim",
    "running": "cyan",
    "done": "green",
    "failed": "bold red",
    "lost": "bold red",
    "stopped": "yellow",
    "cancelled": "yellow",
    "missing": "yellow",
}


def status(name: str | None, *, watch: bool, form: str, outputs: str) -> int:
    """Print where a sweep stands; returns the exit code.

    Args:
        name: The sweep; None: all of them in short, and the newest in full.
        watch: Go on until all runs are over.
        form: text or json.
        outputs: Root of the run folders.
    """
    from sciml.sweep import find, names

    try:
        if form not in FORMATS:
            raise UsageError(f"there is no format {form}{did_you_mean(form, FORMATS)}\navailable: {', '.join(FORMATS)}")
        root = Path(outputs)
        if name is not None:
            sweep = find(name, root)
        else:
            known = names(root)
            if not known:
                raise UsageError(f"{outputs} holds no sweeps; sciml sweep makes one")
            if form == "text" and len(known) > 1:
                _print_all(root, known)
            sweep = find(known[-1], root)
        if watch:
            return _watch(sweep, form)
        return print_sweep(sweep, form)
    except (UsageError, RunError) as error:
        return screen.failed(error)
    except KeyboardInterrupt:
        return 130


def commands(sweep: Sweep) -> dict[str, str]:
    """What can be done with a sweep next, as command lines."""
    place = "" if sweep.outputs == Path("outputs") else f" --outputs {sweep.outputs}"
    return {
        "status": f"sciml status {sweep.name}{place}",
        "cancel": f"sciml cancel {sweep.name}{place}",
        "resume": f"sciml sweep --resume {sweep.name}{place}",
    }


def print_sweep(sweep: Sweep, form: str = "text") -> int:
    """Print where each run of a sweep stands; 1 if one failed."""
    from sciml.standing import ask, standings

    answer = ask([sweep])
    found = standings(sweep, answer)
    if form == "json":
        print(json.dumps(_record(sweep, found, answer), indent=1))
    else:
        if answer.silence:
            screen.error(f"{answer.silence}; what follows is what the runs have filed")
        console = screen.out()
        if not console.is_terminal:
            console.width = 10_000
        console.print(_table(sweep, found))
    return _code(found)


def _code(found: Sequence[Standing]) -> int:
    from sciml.standing import FAILED

    return int(any(one.state in FAILED for one in found))


def _print_all(root: Path, known: Sequence[str]) -> None:
    from rich.table import Table

    from sciml.standing import STATES, ask, counts, standings
    from sciml.sweep import find

    sweeps = []
    for name in known:
        try:
            sweeps.append(find(name, root))
        except UsageError as error:
            screen.error(str(error))
    answer = ask(sweeps)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("sweep")
    table.add_column("made")
    table.add_column("runs", justify="right")
    counted = [(sweep, counts(standings(sweep, answer))) for sweep in sweeps]
    shown = [state for state in STATES if any(state in numbers for _, numbers in counted)]
    for state in shown:
        table.add_column(state, justify="right", style=_COLOURS[state])
    for sweep, numbers in counted:
        made = time.strftime("%Y-%m-%d %H:%M", time.localtime(sweep.time))
        table.add_row(sweep.name, made, str(len(sweep.runs)), *(str(numbers.get(state, "")) for state in shown))
    screen.print_table(table)
    print()


def _table(sweep: Sweep, found: Sequence[Standing], *, live: bool = False) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    shown = [one for one in found if one.state != "done"] if live else found
    rows = [(one.run.label, _state(one), _step(one), _where(one), _said(one)) for one in shown]
    heads = ("run", "state", "step", "job", "")
    kept = [i for i, head in enumerate(heads) if any(row[i] for row in rows) or head in ("run", "state")]
    for i in kept:
        table.add_column(heads[i], overflow="fold", justify="right" if heads[i] == "step" else "left")
    for one, row in zip(shown, rows, strict=True):
        table.add_row(*(Text(row[i], _COLOURS[one.state] if heads[i] == "state" else "") for i in kept))
    return Group(Text(f"{sweep.name}: {summary(found)}", "bold"), table)


def summary(found: Sequence[Standing]) -> str:
    """How many runs are in each state, in one line."""
    from sciml.standing import counts

    return f"{len(found)} runs, " + ", ".join(f"{n} {state}" for state, n in counts(found).items())


def _state(one: Standing) -> str:
    again = f" (requeued {'once' if one.restarts == 1 else f'{one.restarts} times'})" if one.restarts else ""
    return f"{one.state}{again}"


def _where(one: Standing) -> str:
    return " on ".join(filter(None, (one.job, one.place)))


def _step(one: Standing) -> str:
    if one.step is None:
        return ""
    return f"{one.step}/{one.run.steps}" if one.run.steps else str(one.step)


def _said(one: Standing) -> str:
    if one.error:
        return one.error
    metrics = {n: v for n, v in one.metrics.items() if n.startswith("train/loss") or one.state == "done"}
    return screen.metrics(metrics)


def _record(sweep: Sweep, found: Sequence[Standing], answer: Answer) -> dict[str, Any]:
    from sciml.standing import counts

    runs = [
        {
            "index": one.run.index,
            "run": one.run.label,
            "experiment": one.run.experiment,
            "seed": one.run.seed,
            "folder": str(sweep.folder(one.run).path),
            "state": one.state,
            "step": one.step,
            "steps": one.run.steps,
            "metrics": dict(one.metrics),
            "error": one.error or None,
            "job": one.job or None,
            "requeued": one.restarts,
        }
        for one in found
    ]
    return {
        "sweep": sweep.name,
        "command": sweep.command,
        "counts": counts(found),
        "scheduler": answer.silence or None,
        "runs": runs,
    }


def _watch(sweep: Sweep, form: str) -> int:
    """Show how a sweep goes until it is over."""
    console = screen.out()
    if form == "json":
        return _look(sweep, lambda found, answer: print(json.dumps(_record(sweep, found, answer)), flush=True))
    if not console.is_terminal:
        return _look(sweep, _teller(sweep))
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as view:

        def draw(found: Sequence[Standing], answer: Answer) -> None:
            # A terminal has so many lines: what is done is counted, the rest is shown.
            view.update(_table(sweep, found, live=len(found) > console.height - 4), refresh=True)

        return _look(sweep, draw)


def _look(sweep: Sweep, show: Callable[[Sequence[Standing], Answer], None]) -> int:
    from sciml.standing import ALIVE, ask, standings
    from sciml.sweep import read

    before: object = None
    while True:
        sweep = read(sweep.path)  # resumed meanwhile, or cancelled
        answer = ask([sweep])
        found = standings(sweep, answer)
        if (found, answer.silence) != before:
            show(found, answer)
            before = (found, answer.silence)
        if not any(one.state in ALIVE for one in found):
            return _code(found)
        time.sleep(EVERY)


def _teller(sweep: Sweep) -> Callable[[Sequence[Standing], Answer], None]:
    """Where there is no terminal: a line for each run whose state has changed."""
    states: dict[int, tuple[str, int]] = {}
    silence = ""

    def tell(found: Sequence[Standing], answer: Answer) -> None:
        nonlocal silence
        first = not states
        if first:
            print(f"{sweep.name}: {summary(found)}", flush=True)
        if answer.silence != silence and answer.silence:
            screen.error(answer.silence)
        silence = answer.silence
        changed = False
        for one in found:
            now = one.state, one.restarts
            if not first and states[one.run.index] != now:
                changed = True
                said = _said(one)
                print(f"{_state(one):9} {one.run.label}{f': {said}' if said else ''}", flush=True)
            states[one.run.index] = now
        if changed:
            print(f"          {summary(found)}", flush=True)

    return tell
