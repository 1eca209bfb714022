"""A sweep: runs that were frozen together and given to a launcher.

The sweep's own folder, ``<outputs>/.sweeps/<name>/``, holds ``sweep.json`` (what was asked for, the runs,
and who was given them) and what the launcher writes: scripts, and the output of each task. How it is made
is in :mod:`sciml.freezing`.

How a run goes is never filed here: that is in the run's folder, see :mod:`sciml.standing`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sciml.config import did_you_mean
from sciml.errors import UsageError
from sciml.folder import RunFolder, write_atomically
from sciml.launcher.base import Launcher

FOLDER = ".sweeps"
_FILE = "sweep.json"


@dataclass(frozen=True)
class Run:
    """A run of a sweep, frozen.

    Args:
        index: Its number in the sweep.
        label: The overrides in which it differs from the others.
        experiment: Name of the experiment.
        seed: Its seed.
        folder: Its run folder, relative to the outputs.
        steps: Optimiser steps; 0 if it does not train.
        threads: CPU threads that it uses.
    """

    index: int
    label: str
    experiment: str
    seed: int
    folder: str
    steps: int
    threads: int


@dataclass(frozen=True)
class Task:
    """What a launcher was given to do in one go.

    Args:
        runs: Numbers of its runs.
        id: As the scheduler knows it; empty where there is none.
        log: Where its output goes, relative to the sweep's folder.
    """

    runs: tuple[int, ...]
    id: str
    log: str


@dataclass(frozen=True)
class Submission:
    """One time that runs of the sweep were given to a launcher.

    Args:
        time: When, in seconds since 1970.
        launcher: Name of the launcher.
        settings: Its settings.
        waits: Whether the runs end with the process that submitted them.
        host: Where that process is.
        pid: Its number.
        tasks: What was given.
    """

    time: float
    launcher: str
    settings: Mapping[str, Any]
    waits: bool
    host: str
    pid: int
    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class Sweep:
    """What is on file about a sweep.

    Args:
        path: Its folder.
        command: The command line.
        time: When it was made, in seconds since 1970.
        commit: Commit of the source tree, and whether it had changes.
        trust: Packages that its configs may build from.
        runs: The runs.
        submissions: In their order.
        cancelled: When the user cancelled a run, by its number.
    """

    path: Path
    command: str
    time: float
    commit: Mapping[str, Any]
    trust: tuple[str, ...]
    runs: tuple[Run, ...]
    submissions: tuple[Submission, ...] = ()
    cancelled: Mapping[int, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What the user calls it."""
        return self.path.name

    @property
    def outputs(self) -> Path:
        """Root of the run folders."""
        return self.path.parent.parent

    def folder(self, run: Run) -> RunFolder:
        """Where a run lies."""
        return RunFolder(self.outputs / run.folder)

    def given(self, run: Run) -> tuple[Submission, Task] | None:
        """The last submission of a run, and its task there."""
        for submission in reversed(self.submissions):
            for task in submission.tasks:
                if run.index in task.runs:
                    return submission, task
        return None

    def write(self) -> None:
        """File it.

        Raises:
            RunError: The disk is full or the folder cannot be written.
        """
        record = {key: value for key, value in asdict(self).items() if key != "path"}
        write_atomically(self.path / _FILE, json.dumps(record, indent=1) + "\n")


def read(path: Path) -> Sweep:
    """The sweep in a folder.

    Raises:
        UsageError: There is none, or its file is damaged.
    """
    file = path / _FILE
    try:
        record = json.loads(file.read_text())
        submissions = tuple(
            Submission(**{**given, "tasks": tuple(Task(**{**t, "runs": tuple(t["runs"])}) for t in given["tasks"])})
            for given in record["submissions"]
        )
        return Sweep(
            path,
            command=record["command"],
            time=record["time"],
            commit=record["commit"],
            trust=tuple(record["trust"]),
            runs=tuple(Run(**run) for run in record["runs"]),
            submissions=submissions,
            cancelled={int(index): when for index, when in record["cancelled"].items()},
        )
    except FileNotFoundError:
        raise UsageError(f"{path} is not a sweep: it has no {_FILE}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is damaged: {type(error).__name__}: {error}") from error


def names(outputs: Path) -> list[str]:
    """Names of all sweeps, oldest first."""
    files = [(file.parent.stat().st_mtime_ns, file.parent.name) for file in _files(outputs)]
    times = {name: _time_in(name) for _, name in files}
    return [name for _, name in sorted(files, key=lambda item: (times[item[1]], item[0]))]


def _files(outputs: Path) -> list[Path]:
    return [file for file in (outputs / FOLDER).glob(f"*/{_FILE}") if file.is_file()]


def _time_in(name: str) -> str:
    found = re.search(r"(\d{8}-\d{6})(-\d+)?$", name)
    return found[0] if found else ""


def find(text: str, outputs: Path) -> Sweep:
    """The sweep that a user means: its folder, its name, or a part of its name.

    Raises:
        UsageError: No sweep or several match, or its file is damaged.
    """
    if (Path(text) / _FILE).is_file():
        return read(Path(text))
    known = names(outputs)
    hits = [name for name in known if name == text] or [name for name in known if text in name]
    if len(hits) == 1:
        return read(outputs / FOLDER / hits[0])
    if hits:
        raise UsageError(f"{text} fits {len(hits)} sweeps: {', '.join(hits[-5:])}")
    hint = did_you_mean(text, known) if known else f"; {outputs} holds no sweeps"
    raise UsageError(f"there is no sweep {text}{hint}")


def submit(sweep: Sweep, runs: Sequence[Run], launcher: Launcher, name: str, settings: Mapping[str, Any]) -> Sweep:
    """Give runs to a launcher that does not wait, and file under which ids.

    Args:
        sweep: Their sweep.
        runs: Those to do.
        launcher: Where to.
        name: Its name.
        settings: Its settings, for the record.

    Returns:
        The sweep with its new submission.

    Raises:
        UsageError: The scheduler refuses; nothing was started.
        RunError: It does not answer, or the record cannot be written.
    """
    packs = packed(runs, launcher.runs_per_task)
    title = f"{sweep.name}.{len(sweep.submissions) + 1}"
    commands = [command_of(sweep, pack) for pack in packs]
    ids = launcher.launch(commands, sweep.path.resolve(), title)
    tasks = [
        Task(tuple(run.index for run in pack), task, launcher.log(Path(), title, i, task).as_posix())
        for i, (pack, task) in enumerate(zip(packs, ids, strict=True))
    ]
    return record(sweep, launcher, name, settings, tasks)


def record(sweep: Sweep, launcher: Launcher, name: str, settings: Mapping[str, Any], tasks: Sequence[Task]) -> Sweep:
    """File a submission."""
    submission = Submission(
        time.time(), name, dict(settings), launcher.waits, socket.gethostname(), os.getpid(), tuple(tasks)
    )
    given = {index for task in tasks for index in task.runs}
    left = {index: when for index, when in sweep.cancelled.items() if index not in given}
    sweep = replace(sweep, submissions=(*sweep.submissions, submission), cancelled=left)
    sweep.write()
    return sweep


def packed(runs: Sequence[Run], size: int) -> list[Sequence[Run]]:
    """Runs in tasks of ``size``."""
    return [runs[i : i + size] for i in range(0, len(runs), size)]


def command_of(sweep: Sweep, runs: Sequence[Run]) -> list[str]:
    """The command line that makes these runs of a sweep."""
    return [sys.executable, "-m", "sciml.cli.job", str(sweep.path.resolve()), *(str(run.index) for run in runs)]
