"""``sciml sweep --optuna N``: a search for hyper-parameters in a space written in Hydra's syntax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from sciml.errors import RunError, Stopped, UsageError
from sciml.signals import exit_code

from . import screen

if TYPE_CHECKING:
    from sciml.launcher.base import Launcher
    from sciml.search import Study
    from sciml.space import Direction

HELD_OUT = "val/loss"


def search(
    overrides: Sequence[str],
    trials: int,
    *,
    objective: str | None = None,
    direction: str = "minimize",
    launcher: str = "local",
    jobs: int = 0,
    config_dir: str | None = None,
    trust: Sequence[str] = (),
    outputs: str = "outputs",
    grid: Mapping[str, object] | None = None,
) -> int:
    """Search until there are ``trials`` trials in all; returns the exit code.

    Args:
        overrides: Of the experiment, of which those with several values, ranges or intervals are the space; and
            settings of the launcher.
        trials: In all, with those of before; 0 only shows what there is.
        objective: Metric of the row; None for the lowest held-out loss.
        direction: ``minimize`` or ``maximize``.
        launcher: Where the workers run.
        jobs: Workers side by side; 0: what the launcher's settings say, or one, which learns the most from each trial.
        config_dir: The user's folder of configs.
        trust: Packages whose classes the runs may build.
        outputs: Root of the run folders.
        grid: Options of a grid by name, which mean nothing to a search, with what they were given.
    """
    from .explain import explain
    from .launch import trusted
    from .launchers import split
    from .origin import mistakes
    from .search_launch import run

    if wrong := [name for name, value in (grid or {}).items() if value]:
        screen.error(f"{', '.join(wrong)} cannot be used with --optuna: the same command goes on with a search")
        return 2
    if find_spec("optuna") is None:
        screen.error("a search needs Optuna, which is not installed: pip install 'sciml[optuna]'")
        return 2
    overrides, theirs = split(overrides)
    try:
        metric, towards = _asked(objective, direction)
        packages = trusted(trust)
        made = _launcher(launcher, theirs, config_dir, packages)
        study, count = _open(overrides, metric, towards, config_dir, packages, outputs)
    except RunError as error:
        return screen.failed(error)
    except mistakes() as error:
        screen.error(explain(error, overrides, config_dir))
        return 2
    total = int(min(trials, count))
    if total < trials:
        screen.note(f"the space has no more than {total} points, each of which is tried once")
    options = [*(["--config-dir", config_dir] if config_dir else []), *(f"--trust={name}" for name in trust)]
    try:
        code = run(study, total, made, jobs, packages)
        if code is None:  # workers elsewhere are at it
            return _close(study, 0, options) if study.trials() else 0
        return _close(study, total, options) or code
    except Stopped as stopped:
        screen.note("stopped; the same command goes on from here")
        return exit_code(stopped.signum)
    except (UsageError, RunError) as error:
        return screen.failed(error)
    except KeyboardInterrupt:
        screen.error("interrupted; the same command goes on from here")
        return 130


def _asked(objective: str | None, direction: str) -> tuple[str | None, Direction]:
    if direction not in ("minimize", "maximize"):
        raise UsageError(f"there is no direction {direction}: choose minimize or maximize")
    objective = None if objective == HELD_OUT else objective
    if objective is None and direction == "maximize":
        raise UsageError("the held-out loss is minimised; name a metric to maximise: --objective METRIC")
    return objective, direction


def _launcher(name: str, overrides: Sequence[str], config_dir: str | None, trust: Sequence[str]) -> Launcher:
    from sciml.launcher.local import Local

    from .launchers import find_launcher

    if name == "local" and not overrides:
        return Local(jobs=1)  # without composing its config, which takes a while
    return find_launcher(name, overrides, config_dir, trust)[0]


def _open(
    overrides: Sequence[str],
    objective: str | None,
    direction: Direction,
    config_dir: str | None,
    packages: tuple[str, ...],
    outputs: str,
) -> tuple[Study, float]:
    from sciml.search import create
    from sciml.searchspec import relatives
    from sciml.space import size

    from .search_space import plan

    spec, frozen, named = plan(
        overrides, objective=objective, direction=direction, config_dir=config_dir, trust=packages
    )
    study, new = create(Path(named or outputs), spec, frozen)
    if not new:
        found = study.trials(probe=True)
        left = sum(trial.state == "left" for trial in found)
        remark = f", {left} of them left by a worker that is gone" if left else ""
        screen.note(f"search {spec.name}: {len(found)} trials are there{remark}")
    else:
        others = relatives(study.outputs, spec)
        differs = f"; another {' and '.join(others[0][1])} than in {others[0][0]}" if others and others[0][1] else ""
        screen.note(f"new search {spec.name}{differs}")
        for parameter in spec.space:
            screen.note(f"  {parameter}")
    return study, size(spec.space)


def _close(study: Study, total: int, options: Sequence[str]) -> int:
    """The report; the exit code."""
    from sciml.search import ENOUGH

    from .search_report import best, command_line, show, write

    figures = write(study)
    show(study)
    trials = study.trials()
    done = sum(trial.state == "done" for trial in trials)
    found = best(study)
    if found is None:
        if total:
            screen.error(f"none of {len(trials)} trials is done")
        return int(bool(total))
    # An edited config would have made this another search, so the command makes the run that it was.
    print(f"best: {command_line(study, found, options)}")
    if study.spec.objective is not None:
        screen.note(
            f"chosen by {study.spec.objective}, which the test measures: for the best trial it is too good;"
            " measure that one again on other data or seeds"
        )
    if not any(path.name == "importance.png" for path in figures):
        few = f"{done} of {ENOUGH} trials are done" if done < ENOUGH else "all trials are equally good"
        screen.note(f"no importance of the parameters: {few}")
    files = ["trials.csv", "trials.json", *(path.name for path in figures)]
    screen.note(f"in {study.folder}: {', '.join(files)}")
    return int(sum(trial.state in ("done", "failed") for trial in trials) < total)
