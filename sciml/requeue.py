"""What a run that a signal stopped does about the SLURM job that it runs in: have it run again, or not.

=====================================  ==================================================================
SIGUSR2                                the notice that a job asks for before its time limit
                                       (``--signal=USR2@120``), and that some sites send before a
                                       preemption: requeued
SIGTERM, and the job is preempted      requeued; SLURM itself does so only for a job that does not stop
SIGTERM otherwise                      cancelled, or out of time without a notice: not requeued
=====================================  ==================================================================

A process that submitit started is requeued by submitit's own handler, which knows how often it may be.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sciml.errors import RunError, UsageError
from sciml.scheduler import TIMEOUT, ask, reason, show
from sciml.signals import REQUEUE, exit_code

_AGAIN = ("PENDING", "COMPLETING", "REQUEUED", "PREEMPTED")


@dataclass(frozen=True)
class Job:
    """The batch job that this process runs in.

    Args:
        id: Its id; of an array's task with the task's number, because SLURM takes the bare one for the whole array.
        first: Whether this is the first of the processes that ``srun`` started; it speaks for the others.
    """

    id: str
    first: bool


def here() -> Job | None:
    """The batch job that this process runs in; None outside SLURM."""
    array, task, job = (os.environ.get(f"SLURM_{name}") for name in ("ARRAY_JOB_ID", "ARRAY_TASK_ID", "JOB_ID"))
    if job is None:
        return None
    return Job(f"{array}_{task}" if array and task else job, first=os.environ.get("SLURM_PROCID", "0") == "0")


def after(signum: int, handler: Callable[[int, Any], Any] | None = None) -> tuple[int, str]:
    """Requeue the job that this process runs in, if that is what the signal means.

    Args:
        signum: The signal that stopped the run, which is saved by now.
        handler: What was installed for SIGUSR2 before the run took over the signals.

    Returns:
        The exit code, and a line for the user; the line is empty where there is nothing to say.

    Raises:
        SystemExit: From the handler.
    """
    job = here()
    if signum == signal.SIGTERM and job is not None and _preempted(job):
        signum = signal.SIGUSR2
    if signum != signal.SIGUSR2:
        return exit_code(signum), ""
    # From here on SLURM may end this process at any moment, and that is well.
    terminated = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        if handler is not None:
            handler(signum, None)
        elif job is not None and job.first:
            requeue(job)
            return REQUEUE, f"job {job.id} is requeued and will go on by itself"
    except (RunError, UsageError) as error:
        return REQUEUE, f"not requeued: {error}"
    finally:
        signal.signal(signal.SIGTERM, terminated if terminated is not None else signal.SIG_DFL)
    return REQUEUE, ""


def requeue(job: Job, timeout: float = TIMEOUT) -> None:
    """Have SLURM run the job again from its script, once this process is gone.

    Raises:
        UsageError: The job may not be requeued: it was cancelled, is not a batch job, or was submitted with
            ``--no-requeue``.
        SchedulerError: SLURM does not answer.
    """
    shown = show(job.id, timeout)
    if shown.get("JobState", "").startswith("CANCELLED"):
        raise UsageError(f"job {job.id} was cancelled")
    if shown.get("BatchFlag") == "0":
        raise UsageError(f"job {job.id} is not a batch job, which alone SLURM can requeue")
    if shown.get("Requeue") == "0":
        raise UsageError(f"job {job.id} may not be requeued; submit it with: sbatch --requeue")
    answer = ask(["scontrol", "requeue", job.id], timeout)
    # Another process of the job, or SLURM itself, may have been a moment faster.
    if answer.returncode and show(job.id, timeout).get("JobState") not in _AGAIN:
        raise UsageError(f"SLURM refuses to requeue job {job.id}: {reason(answer)}")


def _preempted(job: Job) -> bool:
    try:
        shown = show(job.id)
    except (RunError, UsageError):
        return False
    return shown.get("PreemptTime", "None") != "None" and not shown.get("JobState", "").startswith("CANCELLED")
