"""A worker of a search: takes trials until there are enough, each an ordinary run in this process.

``python -m sciml.cli.search_worker FOLDER --trials N``. It may be killed at any time: what it was at is taken up by the
next worker. Stopped by a signal it saves its run, leaves its trial, and ends with the code that tells why.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.errors import ConfigError, RunError, Stopped, UsageError
from sciml.requeue import after
from sciml.signals import StopSignal

from . import screen

if TYPE_CHECKING:
    from sciml.run import Outcome, Request
    from sciml.search import Study, Taken
    from sciml.searchspec import Frozen, Spec

PATIENCE = 1.0  # seconds between two looks at a trial or a run that another process is at
HOPELESS = 5  # failures in a row, without any success so far, after which a search is not worth going on with


def work(
    study: Study,
    total: int,
    *,
    trust: tuple[str, ...] = (),
    wait: bool = False,
    stop: StopSignal,
    console: Any = None,
    heard: Callable[[], None] = lambda: None,
) -> None:
    """Take trials until there are ``total`` in all.

    Args:
        study: Of the search.
        total: Trials in all, those of before and of others included.
        trust: Packages whose classes a config may build.
        wait: Stay for as long as others are at a trial, to take it up should they die.
        stop: Signals that are being watched.
        console: Where the progress of a run is shown.
        heard: Called when a trial begins or ends.

    Raises:
        Stopped: A signal; its run is saved, its trial left for later.
        UsageError: The search cannot go on as it was asked for; the trial is left for later.
        RunError: The disk refuses, or no trial has any success.
    """
    configs = study.configs()
    failures = 0
    while True:
        if stop.signum is not None:
            raise Stopped(stop.signum, str(study.folder))
        taken = study.take(total)
        heard()
        if taken is None:
            if not (wait and any(trial.state == "running" for trial in study.trials())):
                return
            time.sleep(PATIENCE)
            continue
        with taken.lock:
            error = _attempt(study, taken, configs, trust, stop, console)
        heard()
        failures = failures + 1 if error else 0
        if failures >= HOPELESS and not any(trial.state == "done" for trial in study.trials()):
            raise RunError(f"{failures} trials in a row have failed and none is done; the last: {error}")


def _attempt(
    study: Study, taken: Taken, configs: Sequence[Frozen], trust: tuple[str, ...], stop: StopSignal, console: Any
) -> str:
    """Run a trial; returns why it failed, or nothing."""
    started = time.monotonic()
    try:
        requests = [request(study, configs, taken, seed, trust) for seed in study.spec.seeds]
        study.note_run(taken.number, [r.folder.path.relative_to(study.outputs).as_posix() for r in requests])
        _measure(study, taken, requests, stop, console)
    except (Stopped, RunError, ConfigError) as error:
        if isinstance(error, Stopped) or isinstance(error.__cause__, OSError):  # the disk's fault, not the trial's
            study.let_go(taken)
            raise
        reason = str(error)
    except UsageError:
        study.let_go(taken)
        raise
    except Exception as error:  # noqa: BLE001 - whatever a method raises is the trial's end, not the search's
        reason = f"{type(error).__name__}: {str(error)[:300]}"
    else:
        return ""
    reason = " ".join(reason.split())
    study.fail(taken.number, reason, time.monotonic() - started)
    return reason


def _measure(study: Study, taken: Taken, requests: Sequence[Request], stop: StopSignal, console: Any) -> None:
    from sciml.objective import objective

    values, seconds = [], 0.0
    for wanted in requests:
        try:
            outcome = _execute(wanted, stop, console)
            values.append(objective(outcome.folder, outcome.row, study.spec.objective))
        except RunError as error:
            if len(requests) == 1:
                raise
            raise RunError(f"seed {wanted.tree['seed']}: {error}") from error.__cause__
        seconds += outcome.row.get("wall_seconds", 0.0)
    study.finish(taken.number, values, seconds)


def _execute(wanted: Request, stop: StopSignal, console: Any) -> Outcome:
    from sciml.run import execute

    while True:
        try:
            return execute(wanted, console, stop)
        except RunError as error:
            if "is in use by" not in str(error):
                raise
        if stop.signum is not None:
            raise Stopped(stop.signum, str(wanted.folder.path))
        time.sleep(PATIENCE)


def request(study: Study, configs: Sequence[Frozen], taken: Taken, seed: int, trust: tuple[str, ...]) -> Request:
    """The run of a trial with one seed.

    Raises:
        ConfigError: These values do not make a config.
    """
    from omegaconf import OmegaConf

    from .request import request_of
    from .search_space import filled

    space = study.spec.space
    groups = {p.name: taken.params[p.name] for p in space if p.group}
    frozen = next(item for item in configs if item.groups == groups)
    cfg = filled(frozen, [p for p in space if not p.group], taken.params)
    OmegaConf.update(cfg, "seed", seed)
    OmegaConf.update(cfg, "outputs", str(study.outputs))
    params = {p.name: p.text(taken.params[p.name]) for p in space}
    return request_of(cfg, frozen.choices, [*arguments(study.spec, params), f"seed={seed}"], trust=trust)


def arguments(spec: Spec, params: dict[str, str]) -> list[str]:
    """The overrides of a trial, without the seed."""
    return [*spec.overrides, *(f"{p.key}={params[p.name]}" for p in spec.space)]


def main(argv: Sequence[str] | None = None) -> int:
    """Work on the study in a folder; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m sciml.cli.search_worker", description="A worker of a search.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trials", type=int, required=True, help="in all")
    parser.add_argument("--wait", action="store_true", help="stay while others are at a trial, should they die")
    parser.add_argument("--trust", action="append", default=[], metavar="PACKAGE")
    given = parser.parse_args(argv)
    handler = signal.getsignal(signal.SIGUSR2)  # submitit's, if it started this process
    with StopSignal() as stop:  # before the imports, which take seconds
        try:
            return _work(given, stop)
        except Stopped as stopped:
            screen.note(f"stopped by signal {stopped.signum}; its trial is left for the next worker")
            code, remark = after(stopped.signum, handler if callable(handler) else None)
            if remark:
                screen.note(remark)
            return code
        except (UsageError, RunError) as error:
            return screen.failed(error)
        except KeyboardInterrupt:
            return 130


def _work(given: argparse.Namespace, stop: StopSignal) -> int:
    from sciml.search import Study

    from .launch import trusted
    from .search_report import write
    from .search_watch import Lines

    trust = trusted(given.trust)
    study = Study(given.folder)
    lines = Lines(study, given.trials, screen.err())
    work(study, given.trials, trust=trust, wait=given.wait, stop=stop, heard=lines.update)
    if sum(trial.state in ("done", "failed") for trial in study.trials()) >= given.trials:
        write(study)  # whoever comes last: where nobody waits for the workers, the report is there all the same
    return 0


if __name__ == "__main__":
    sys.exit(main())
