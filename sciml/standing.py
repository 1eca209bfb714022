"""Where the runs of a sweep stand.

Three witnesses are heard. The run's folder has the last word on what it holds: a row is a finished run, a
trace a failed one. Whether a run without either lives is asked of the scheduler that was given it; of a run
on this machine, of the system. So a job that was killed from outside is never taken for one that runs.

===========  ==================================================================================
queued       waits for its turn, or to be run again
running      a process works on it
done         has a row
failed       ended with an error
stopped      was asked to stop, saved, and is not going to go on by itself
cancelled    was cancelled, by ``sciml cancel`` or in the scheduler
lost         was killed, or ended without a word: out of memory, node failure, time limit ...
missing      was never started, and nobody is going to start it
===========  ==================================================================================
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sciml import scheduler
from sciml.attendance import living, owned
from sciml.errors import RunError, UsageError
from sciml.folder import RunFolder
from sciml.launcher.local import said_in
from sciml.scheduler import JobState
from sciml.sweep import Run, Submission, Sweep, Task, read

STATES = ("queued", "running", "done", "failed", "stopped", "cancelled", "lost", "missing")
ALIVE = ("queued", "running")  # somebody sees to it
FAILED = ("failed", "lost")
_STARTED = ("running", "stopped", "failed", "done")


@dataclass(frozen=True)
class Standing:
    """Where a run stands.

    Args:
        run: The run.
        state: One of ``STATES``.
        step: The step that it filed last; None before the first.
        metrics: Of its row, or the last ones that it logged.
        error: Why it is not done.
        restarts: How many times the scheduler requeued it.
        job: Its id there; empty where there is none.
        place: Where its process is, as far as that is known.
    """

    run: Run
    state: str
    step: int | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    restarts: int = 0
    job: str = ""
    place: str = ""


@dataclass(frozen=True)
class Answer:
    """What SLURM said: the jobs that it knows, or why it said nothing."""

    jobs: Mapping[str, JobState] = field(default_factory=dict)
    silence: str = ""


def ask(sweeps: Iterable[Sweep], timeout: float = scheduler.TIMEOUT) -> Answer:
    """Ask the scheduler about all runs of these sweeps that have no row, in one question.

    Args:
        sweeps: The sweeps.
        timeout: Seconds that it may take.
    """
    ids = []
    for sweep in sweeps:
        others: dict[str, Sweep] = {}
        for run in sweep.runs:
            if sweep.folder(run).row.exists():
                continue
            owner, same = _owner(sweep, run, others)
            given = owner.given(same)
            if given is not None and given[1].id:
                ids.append(given[1].id)
    if not ids:
        return Answer()
    try:
        return Answer(scheduler.states(ids, timeout))
    except (RunError, UsageError) as error:
        return Answer(silence=str(error))


def standings(sweep: Sweep, answer: Answer) -> list[Standing]:
    """Where each run of a sweep stands.

    Args:
        sweep: The sweep.
        answer: What the scheduler says of its jobs.
    """
    launchers = {submission.time: living(sweep, submission) for submission in sweep.submissions if submission.waits}
    others: dict[str, Sweep] = {}
    return [standing(sweep, run, answer, launchers, others) for run in sweep.runs]


def standing(
    sweep: Sweep,
    run: Run,
    answer: Answer,
    launchers: Mapping[float, bool] | None = None,
    others: dict[str, Sweep] | None = None,
) -> Standing:
    """Where one run stands.

    Args:
        sweep: Its sweep.
        run: The run.
        answer: What the scheduler says.
        launchers: Whether the process that made a submission lives, by the submission's time; looked up if None.
        others: Sweeps that were read for this question already; more are added.
    """
    folder = sweep.folder(run)
    try:
        row = folder.read_row()
    except UsageError as error:
        return Standing(run, "failed", error=str(error))
    status = folder.read_status()
    metrics = {n: v for n, v in (status.get("metrics") or {}).items() if isinstance(v, int | float)}
    step = status.get("step")
    now = Standing(run, "missing", step if isinstance(step, int) else None, metrics)
    if row is not None:
        return replace(now, state="done", step=row.get("cost", {}).get("steps"), metrics=row["metrics"])
    owner, same = _owner(sweep, run, {} if others is None else others)
    if owner is not sweep:
        return replace(standing(owner, same, answer), run=run)
    if (given := sweep.given(run)) is None:
        return replace(_on_file(now, status), error="not submitted") if now.state != "missing" else now
    submission, task = given
    now = replace(now, job=task.id)
    if task.id:
        now = _with_scheduler(now, sweep, task, folder, status, answer)
    else:
        if launchers is None:
            launchers = {submission.time: living(sweep, submission)}
        now = _on_this_machine(now, submission, sweep.path / task.log, folder, status, alive=launchers[submission.time])
    if now.state in ("stopped", "lost", "missing") and run.index in sweep.cancelled:
        now = replace(now, state="cancelled", error=_saved(now))
    if now.state == "lost" and not now.error:
        now = replace(now, error="its process ended without a word")
    if now.state == "lost":
        saved = _saved(now) if folder.last.exists() else "nothing saved"
        now = replace(now, error=", ".join(filter(None, (now.error, saved))))
    return now


def _owner(sweep: Sweep, run: Run, others: dict[str, Sweep]) -> tuple[Sweep, Run]:
    """The sweep that submitted a run last, since a run can be in several, and the run there."""
    name = sweep.folder(run).read_status().get("sweep")
    if not isinstance(name, str) or name == sweep.name or "/" in name:
        return sweep, run
    if name not in others:
        try:
            others[name] = read(sweep.path.with_name(name))
        except UsageError:
            others[name] = sweep  # it was deleted
    same = next((other for other in others[name].runs if other.folder == run.folder), None)
    return (sweep, run) if same is None else (others[name], same)


def _on_file(now: Standing, status: Mapping[str, Any]) -> Standing:
    """What the run itself filed last."""
    state, error = status.get("state"), str(status.get("error") or "")
    if state == "running":
        return replace(now, state="running")
    if state == "stopped":
        return replace(now, state="stopped", error=_saved(now))
    if state == "failed":
        return replace(now, state="failed", error=" ".join(error.split()))
    return replace(now, state="missing")


def _saved(now: Standing) -> str:
    return f"saved at step {now.step}" if now.step else ""


def _with_scheduler(
    now: Standing, sweep: Sweep, task: Task, folder: RunFolder, status: Mapping[str, Any], answer: Answer
) -> Standing:
    filed = _on_file(now, status)
    if answer.silence:
        return replace(filed, state="queued") if filed.state == "missing" else filed
    job = answer.jobs.get(task.id)
    log = sweep.path / task.log
    if job is None and filed.state == "running" and owned(folder):
        return filed
    if job is None:
        # Forgotten long ago: what it filed is all there is.
        if filed.state == "running" or (filed.state == "missing" and log.exists()):
            return replace(now, state="lost", error=said_in(log) or f"SLURM does not know job {task.id} any more")
        return filed
    now = replace(now, restarts=job.restarts)
    if not job.over:
        return _going_on(now, job, filed, alone=len(task.runs) == 1)
    if filed.state == "running" and owned(folder):
        return replace(filed, restarts=job.restarts)  # somebody goes on with it elsewhere
    if filed.state in ("failed", "stopped") and job.state in ("COMPLETED", "FAILED"):
        return replace(filed, restarts=job.restarts)
    ending = "out of memory" if scheduler.over_memory(log) else job.ending()
    if job.state == "CANCELLED" and not job.out_of_memory:
        return replace(now, state="cancelled", error=_saved(now))
    if filed.state == "failed":
        return replace(filed, restarts=job.restarts)
    if filed.state == "missing" and (said := said_in(log)):  # refused before it began
        return replace(now, state="failed", error=said)
    if filed.state == "missing" and job.state == "COMPLETED":
        return now  # a packed task that ended before its turn came
    return replace(now, state="lost", error=ending or f"job {task.id} ended without a row")


def _going_on(now: Standing, job: JobState, filed: Standing, *, alone: bool) -> Standing:
    waiting = job.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING")
    if waiting:
        why = job.reason if job.reason not in ("", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit") else ""
        return replace(now, state="queued", error=why)
    if filed.state == "failed":
        return replace(filed, restarts=job.restarts)
    if filed.state == "missing" and not alone:  # its turn in a task of several runs has not come
        return replace(now, state="queued")
    return replace(now, state="running")


def _on_this_machine(
    now: Standing, submission: Submission, log: Path, folder: RunFolder, status: Mapping[str, Any], *, alive: bool
) -> Standing:
    filed = _on_file(now, status)
    place = "" if submission.host == socket.gethostname() else submission.host
    if filed.state == "running":
        return replace(filed, place=place) if owned(folder) else replace(now, state="lost")
    if filed.state != "missing":
        return filed
    if alive:
        return replace(now, state="queued", place=place)
    return replace(now, state="failed", error=said) if (said := _refusal(log, submission)) else filed


def _refusal(log: Path, submission: Submission) -> str:
    """What a run said that was refused before it could file anything."""
    try:
        fresh = log.stat().st_mtime >= submission.time - 1
    except OSError:
        return ""
    return said_in(log) if fresh else ""


def counts(found: Sequence[Standing]) -> dict[str, int]:
    """How many runs are in each state."""
    return {state: n for state in STATES if (n := sum(one.state == state for one in found))}
