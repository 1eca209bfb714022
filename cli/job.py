"""``python -m sciml.cli.job SWEEP INDEX...``: frozen runs of a sweep, which is what a launcher starts.

One run is performed here as ``sciml resume`` does it. Several are made one after the other, each in a child
of this process, which has imported the libraries once. After an interruption the same command goes on: what
has a row is left alone, what was saved is resumed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from sciml.errors import UsageError
from sciml.folder import RunFolder
from sciml.signals import REQUEUE, StopSignal

from . import screen


def main(argv: Sequence[str]) -> int:
    """Make the runs; returns the exit code."""
    from sciml.sweep import read

    from .launch import trusted

    try:
        path, *indices = argv
        sweep = read(Path(path))
        folders = [sweep.folder(sweep.runs[int(index)]) for index in indices]
    except (ValueError, IndexError):
        screen.error(f"usage: python -m sciml.cli.job SWEEP INDEX..., not {' '.join(argv)}")
        return 2
    except UsageError as error:
        return screen.failed(error)
    trust = trusted(sweep.trust)
    return _one(folders[0], trust) if len(folders) == 1 else _several(folders, trust)


def _one(folder: RunFolder, trust: tuple[str, ...]) -> int:
    # The signals are watched from here on: the imports take seconds.
    with StopSignal() as stop:
        from .runs import go_on, requeued

        try:
            return requeued(go_on(folder, trust, stop), stop)["code"]
        except UsageError as error:
            return screen.failed(error)


def _several(folders: Sequence[RunFolder], trust: tuple[str, ...]) -> int:
    from sciml.launcher.local import noting

    with noting() as noted:
        from sciml.launcher.warm import in_child, warm_up

        codes: list[int] = []
        left = [folder for folder in folders if not folder.row.exists()]
        if left:
            warm_up()
        for folder in left:
            if noted:
                break
            codes.append(in_child(lambda folder=folder: _one(folder, trust), noted))
            screen.note(f"{folder.path.name}: {_said(codes[-1])}")
    if noted:
        return _stopped(noted[0], codes)
    if any(code < 0 for code in codes):  # for the scheduler's record: it looks like one that was killed
        return 128 - min(codes)
    return max(codes, default=0)


def _stopped(number: int, codes: Sequence[int]) -> int:
    """Stopped in the midst of several: those to come want to run again too."""
    from sciml.requeue import after

    if codes and codes[-1] == REQUEUE:  # the child has seen to it
        return REQUEUE
    code, line = after(signal.SIGTERM if number == signal.SIGHUP else number)
    if line:
        screen.note(line)
    return code


def _said(code: int) -> str:
    return "done" if code == 0 else f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
