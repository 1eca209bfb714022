"""``sciml cancel``: ending the runs of a sweep that are not over."""

from __future__ import annotations

import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

from sciml.errors import RunError, UsageError

from . import screen


def cancel(name: str, *, outputs: str) -> int:
    """End the runs of a sweep that are queued or running; returns the exit code."""
    try:
        return _cancel(name, outputs)
    except (UsageError, RunError) as error:
        return screen.failed(error)


def _cancel(name: str, outputs: str) -> int:
    from sciml import scheduler
    from sciml.attendance import living
    from sciml.standing import ALIVE, ask, standings
    from sciml.sweep import find

    sweep = find(name, Path(outputs))
    answer = ask([sweep])
    alive = [one.run for one in standings(sweep, answer) if one.state in ALIVE]
    if not alive:
        print(f"{sweep.name}: nothing is queued or running")
        return 0
    own = [run for run in alive if sweep.folder(run).read_status().get("sweep") in (None, sweep.name)]
    given = [(run, mine) for run in own if (mine := sweep.given(run)) is not None]
    now = time.time()
    replace(sweep, cancelled={**sweep.cancelled, **{run.index: now for run, _ in given}}).write()
    scheduler.cancel(dict.fromkeys(task.id for _, (_, task) in given if task.id))
    for submission in dict.fromkeys(submission.time for _, (submission, task) in given if not task.id):
        made = next(one for one in sweep.submissions if one.time == submission)
        if made.host != socket.gethostname():
            raise RunError(f"{sweep.name} was started on {made.host}; cancel it there")
        if living(sweep, made):
            os.kill(made.pid, signal.SIGTERM)
    print(f"{sweep.name}: {len(given)} runs cancelled")
    left = len(alive) - len(given)
    if left:
        screen.note(f"{left} more were started in another way; cancel them there")
    return 0
