"""Commands that work on one run: perform, evaluate, resume."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import RunError, Stopped, UsageError
from sciml.imports import load

from . import screen

if TYPE_CHECKING:
    from sciml.folder import RunFolder
    from sciml.run import Request
    from sciml.signals import StopSignal


def perform(request: Request, stop: StopSignal | None = None, *, resuming: bool = False) -> dict[str, Any]:
    """Execute a request, print how it ended, and return that as plain data.

    Args:
        request: The run.
        stop: Signals that are being watched already.
        resuming: Whether the user asked to go on with this run, not to make it.

    Returns:
        ``state`` (done, found, refused, failed, stopped), exit ``code``, and ``folder``, ``metrics`` or ``error``;
        with ``signum`` if a signal stopped it.
    """
    from sciml.run import execute
    from sciml.signals import exit_code
    from sciml.table import reported

    try:
        outcome = execute(request, screen.err(), stop)
    except UsageError as error:
        screen.error(str(error))
        return {"state": "refused", "code": 2, "error": str(error)}
    except Stopped as stopped:
        screen.note(f"stopped by signal {stopped.signum}; go on with: sciml resume {stopped.folder}")
        error = f"stopped by signal {stopped.signum}"
        code = exit_code(stopped.signum)
        return {"state": "stopped", "code": code, "folder": stopped.folder, "error": error, "signum": stopped.signum}
    except KeyboardInterrupt:
        folder = str(request.folder.path)
        screen.note(f"interrupted; go on from the last checkpoint with: sciml resume {folder}")
        return {"state": "stopped", "code": 130, "folder": folder, "error": "interrupted"}
    except RunError as error:
        return _failed(request, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a method raises ends as one line and a trace on file
        return _failed(request, _short(error))
    lines = reported(outcome.row, request.tree)
    if outcome.found:
        screen.note(_age(outcome.row) + ("" if resuming else "; --force repeats it"))
    folder = str(outcome.folder.path)
    screen.closing(outcome.row, folder, found=outcome.found, reported=lines)
    state = "found" if outcome.found else "done"
    return {"state": state, "code": 0, "folder": folder, "metrics": outcome.row["metrics"]}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _failed(request: Request, message: str) -> dict[str, Any]:
    trace = request.folder.error
    where = f"\nfull trace: {trace}" if trace.exists() else ""
    screen.error(f"{request.experiment} seed {request.tree['seed']} failed: {message}{where}")
    if os.environ.get("SCIML_TRACE") and trace.exists():
        print(trace.read_text(), file=sys.stderr)
    return {"state": "failed", "code": 1, "folder": str(request.folder.path), "error": message}


def _age(row: Any) -> str:
    from sciml.provenance import commit

    now, then = commit(), row.get("commit")
    code = ""
    if now["commit"] and then and now["commit"] != then:
        code = f" by another commit ({then[:9]}, now {now['commit'][:9]})"
    return f"this run is finished{code}"


def evaluate_run(text: str, checkpoint: str, trust: Sequence[str], outputs: str) -> int:
    """``sciml eval``: returns the exit code."""
    from rich.table import Table

    from sciml.lookup import find

    from .launch import trusted

    try:
        folder = find(text, Path(outputs))
        load()
        from sciml.datafile import changed
        from sciml.run import evaluate

        metrics = evaluate(folder, checkpoint, trusted(trust))
        row = folder.read_row()
    except (UsageError, RunError) as error:
        return screen.failed(error)
    except KeyboardInterrupt:
        screen.error("interrupted")
        return 130
    except Exception as error:  # noqa: BLE001 - whatever a method raises ends as one line
        screen.error(f"the test of {text} failed: {_short(error)}\nSCIML_TRACE=1 shows the full trace")
        if os.environ.get("SCIML_TRACE"):
            traceback.print_exc()
        return 1
    filed = row["metrics"] if row else {}
    for message in changed([row] if row else []):
        screen.note(message)
    prefix = "best/" if checkpoint == "best" else ""
    table = Table(box=None)
    for column in ("metric", checkpoint, "row", "difference"):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for name, value in metrics.items():
        before = filed.get(f"{prefix}{name}")
        difference = "" if before is None else f"{value - before:.1e}"
        table.add_row(name, screen.number(value), "" if before is None else screen.number(before), difference)
    screen.out().print(table)
    return 0


def resume_run(text: str, trust: Sequence[str], outputs: str) -> int:
    """``sciml resume``: returns the exit code."""
    from sciml.lookup import find
    from sciml.signals import StopSignal

    from .launch import trusted

    try:
        with StopSignal() as stop:
            return requeued(go_on(find(text, Path(outputs)), trusted(trust), stop), stop)["code"]
    except UsageError as error:
        return screen.failed(error)


def requeued(ended: dict[str, Any], stop: StopSignal) -> dict[str, Any]:
    """Have the scheduler run the job again that this process runs in, if the run ended for that.

    Args:
        ended: What :func:`perform` returned.
        stop: The signals that were watched meanwhile.

    Returns:
        The same with the exit code that follows.

    Raises:
        SystemExit: Where submitit started this process: its own handler ends it.
    """
    import signal

    from sciml.requeue import after

    if "signum" not in ended:
        return ended
    code, line = after(ended["signum"], stop.earlier(signal.SIGUSR2))
    if line:
        screen.note(line)
    return {**ended, "code": code}


def go_on(folder: RunFolder, trust: tuple[str, ...], stop: StopSignal | None = None) -> dict[str, Any]:
    """Perform the run whose config is filed in a folder.

    Args:
        folder: The run folder.
        trust: Packages that the user trusts.
        stop: Signals that are being watched already.

    Returns:
        As :func:`perform`.

    Raises:
        UsageError: The folder has no config, or one that is not its own.
    """
    stored = folder.read_config()
    load()
    from sciml.run import Request

    # The folder may have been moved; what counts is that it still is <root>/<experiment>/<hash>-seed<n>.
    depth = len(Path(stored["experiment"]).parts)
    root = folder.path.resolve().parents[depth]
    request = Request(
        tree={**stored["config"], "outputs": str(root)},
        raw=None,
        experiment=stored["experiment"],
        choices=stored["choices"],
        command=f"sciml resume {folder.path.name}",
        trust=trust,
    )
    if request.folder.path.resolve() != folder.path.resolve():
        raise UsageError(
            f"{folder.config} was edited: its hash is {request.folder.path.name}, its folder {folder.path.name}"
        )
    return perform(request, stop, resuming=True)
