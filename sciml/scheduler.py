"""SLURM, through its own commands; the only place that talks to it.

What a job is, is asked of the controller (``squeue``), which forgets a job some minutes after its end,
and then of the accounting (``sacct``), which not every cluster has. One question covers all ids. Every
question has a time limit: a controller that is down or busy must not hang a command that only looks.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sciml.errors import RunError, UsageError

TIMEOUT = 30.0  # seconds that one question may take in all
_ACTIVE = ("PENDING", "RUNNING", "SUSPENDED", "CONFIGURING", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "RESIZING",
           "SIGNALING", "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "REQUEUE_FED")  # fmt: skip
_OOM = 125  # the signal number that stands for "out of memory" in an exit code, see slurm.h
_WORDS = {
    "OUT_OF_MEMORY": "out of memory",
    "CANCELLED": "cancelled",
    "NODE_FAIL": "its node failed",
    "BOOT_FAIL": "its node did not boot",
    "TIMEOUT": "time limit reached",
    "DEADLINE": "deadline reached",
    "PREEMPTED": "preempted and not requeued",
}
_COLUMNS = {"JobArrayID": 48, "State": 24, "Reason": 64, "RestartCnt": 12, "exit_code": 16}
_OVER_MEMORY = re.compile(rb"oom[-_]kill event|exceeded (job |step )?memory limit", re.IGNORECASE)


class SchedulerError(RunError):
    """SLURM does not answer, or not in time; the jobs are as they were."""


@dataclass(frozen=True)
class JobState:
    """What SLURM says about a job.

    Args:
        id: As everywhere here: ``"123"``, or ``"123_4"`` for a task of an array.
        state: SLURM's word: ``PENDING``, ``RUNNING``, ``COMPLETED``, ``FAILED``, ``OUT_OF_MEMORY`` ...
        reason: SLURM's reason for it; empty if it has none.
        restarts: How many times the job was requeued.
        code: Exit code of the batch script; 0 while it has none.
        signum: Signal that ended the batch script; 0 if none did.
    """

    id: str
    state: str
    reason: str = ""
    restarts: int = 0
    code: int = 0
    signum: int = 0

    @property
    def over(self) -> bool:
        """Whether the job has ended and will not go on by itself."""
        return self.state not in _ACTIVE

    @property
    def out_of_memory(self) -> bool:
        """Whether SLURM says that the memory limit ended it. Not every cluster says so, see :func:`over_memory`."""
        return self.state == "OUT_OF_MEMORY" or self.signum == _OOM

    def ending(self) -> str:
        """How a job that is over ended, in a few words; empty while it goes on, or where all is well."""
        if not self.over or self.state == "COMPLETED":
            return ""
        if self.out_of_memory:
            return _WORDS["OUT_OF_MEMORY"]
        if self.state in _WORDS:
            return _WORDS[self.state]
        if self.signum:
            return f"killed by {_signal_name(self.signum)}"
        if self.code > 128:  # a shell or srun whose child was killed says it so
            return f"killed by {_signal_name(self.code - 128)}"
        return f"ended with exit code {self.code}" if self.code else self.state.lower().replace("_", " ")


def submit(script: Path, timeout: float = TIMEOUT) -> str:
    """Submit a batch script.

    Returns:
        The id of the job, or of the array.

    Raises:
        UsageError: SLURM is not installed, or refuses the script; the message has SLURM's reason.
        SchedulerError: It does not answer.
    """
    answer = ask(["sbatch", "--parsable", str(script)], timeout, outside=True)
    if answer.returncode:
        raise UsageError(f"SLURM refuses {script}: {reason(answer)}")
    return answer.stdout.strip().splitlines()[-1].split(";")[0]


def states(ids: Iterable[str], timeout: float = TIMEOUT) -> dict[str, JobState]:
    """What SLURM knows about jobs.

    Args:
        ids: ``"123"`` or ``"123_4"``; an array's id stands for all its tasks.
        timeout: Seconds that the answer may take.

    Returns:
        A state for every job and task that SLURM still knows. Without an accounting database it forgets a job
        some minutes after its end; such a job is not in the answer.

    Raises:
        UsageError: SLURM is not installed here.
        SchedulerError: It does not answer.
    """
    asked = list(dict.fromkeys(ids))
    if not asked:
        return {}
    deadline = time.monotonic() + timeout
    known = _queue(sorted({_job(one) for one in asked}), deadline)
    # Of an array that was asked for as a whole nobody but the accounting knows which tasks are forgotten by now.
    missing = sorted({_job(one) for one in asked if one not in known})
    if missing and shutil.which("sacct"):
        known = {**_accounting(missing, deadline), **known}
    return {name: state for name, state in known.items() if name in asked or _job(name) in asked}


def cancel(ids: Iterable[str], timeout: float = TIMEOUT) -> None:
    """Cancel jobs, waiting or running; those that are over already are left as they are.

    Raises:
        UsageError: SLURM is not installed here, or does not allow it.
        SchedulerError: It does not answer.
    """
    if asked := list(dict.fromkeys(ids)):
        answer = ask(["scancel", *asked], timeout)
        wrong = [line for line in answer.stderr.splitlines() if "Invalid job id" not in line]
        if answer.returncode and wrong:
            raise UsageError(f"SLURM does not cancel: {_message(wrong[-1])}")


def longest_array(timeout: float = TIMEOUT) -> int:
    """The number of tasks that an array may have here.

    Raises:
        UsageError: SLURM is not installed here.
        SchedulerError: It does not answer.
    """
    answer = ask(["scontrol", "show", "config"], timeout)
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", answer.stdout, flags=re.MULTILINE)
    if found is None:
        raise SchedulerError(f"SLURM does not say how long an array may be: {reason(answer)}")
    return int(found[1])


def over_memory(output: Path) -> bool:
    """Whether SLURM wrote into a job's output that the memory limit killed something in it.

    Where memory is not guarded by cgroups, or the killed process was a step of the job, this line is all that
    tells it from any other SIGKILL.
    """
    try:
        with open(output, "rb") as file:
            file.seek(max(0, os.path.getsize(output) - 65536))
            return _OVER_MEMORY.search(file.read()) is not None
    except OSError:
        return False


def show(job: str, timeout: float = TIMEOUT) -> dict[str, str]:
    """All that the controller says about one job, by SLURM's own names.

    Raises:
        SchedulerError: It does not answer, or has forgotten the job.
    """
    answer = ask(["scontrol", "--oneliner", "show", "job", job], timeout)
    if answer.returncode:
        raise SchedulerError(f"SLURM does not answer about job {job}: {reason(answer)}")
    return dict(word.split("=", 1) for word in answer.stdout.split() if "=" in word)


def _queue(jobs: Sequence[str], deadline: float) -> dict[str, JobState]:
    columns = ",".join(f"{name}:{width}" for name, width in _COLUMNS.items())
    # Without the comma squeue refuses an id that it has forgotten, instead of leaving it out.
    listed = ",".join(jobs if len(jobs) > 1 else [*jobs, *jobs])
    answer = ask(["squeue", "--noheader", "--array", "--states=all", f"--jobs={listed}", f"--Format={columns}"],
                  deadline - time.monotonic())  # fmt: skip
    if answer.returncode and "Invalid job id" not in answer.stderr:
        raise SchedulerError(f"SLURM does not answer: {reason(answer)}")
    known: dict[str, JobState] = {}
    for line in answer.stdout.splitlines():
        cells, start = [], 0
        for width in _COLUMNS.values():
            cells.append(line[start : start + width].strip())
            start += width
        name, state, why, restarts, status = cells
        if name and state:
            code, signum = _exit(int(status or 0))
            known[name] = JobState(name, state, "" if why == "None" else why, int(restarts or 0), code, signum)
    return known


def _accounting(jobs: Sequence[str], deadline: float) -> dict[str, JobState]:
    """The same from the database; empty where there is none."""
    answer = ask(["sacct", "--noheader", "--parsable2", "--duplicates", f"--jobs={','.join(jobs)}",
                   "--format=JobID,State,ExitCode"], deadline - time.monotonic())  # fmt: skip
    if answer.returncode:
        return {}
    known: dict[str, JobState] = {}
    for line in answer.stdout.splitlines():
        name, state, status = line.split("|")
        job, _, step = name.partition(".")
        code, _, signum = status.partition(":")
        if "[" in job:  # tasks that wait; the queue has them
            continue
        if step:  # of the job that stands above: a step out of memory says more than a script that failed for it
            if job in known and state == "OUT_OF_MEMORY" and known[job].state == "FAILED":
                known[job] = JobState(job, "FAILED", "OutOfMemory", known[job].restarts, known[job].code, _OOM)
            continue
        restarts = known[job].restarts + 1 if job in known else 0  # every start has a line, in their order
        known[job] = JobState(job, state.split()[0], "", restarts, int(code or 0), int(signum or 0))
    return known


def ask(command: Sequence[str], timeout: float, *, outside: bool = False) -> subprocess.CompletedProcess[str]:
    """Run one of SLURM's commands.

    Args:
        command: Name and arguments.
        timeout: Seconds that it may take.
        outside: Hide the job that this process may itself run in.

    Raises:
        UsageError: There is no such command.
        SchedulerError: It takes longer, or reaches no controller.
    """
    environment = {**os.environ, "LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"}
    if outside:
        # A job must not inherit the size of the one that it was submitted from.
        kept = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT")
        environment = {k: v for k, v in environment.items() if not k.startswith("SLURM_") or k in kept}
    try:
        # A session of its own, so that what the command may have started ends with it when time is up.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise UsageError(f"SLURM is not installed on this machine: there is no {command[0]} on the PATH") from None
    with process:
        try:
            out, err = process.communicate(timeout=max(timeout, 0.01))
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise SchedulerError(
                    f"SLURM does not answer: {command[0]} took longer than {timeout:.0f} s; jobs are not affected,"
                    " try again later"
                ) from None
            raise
    answer = subprocess.CompletedProcess(command, process.returncode, out, err)
    if answer.returncode and re.search(r"[Uu]nable to contact slurm controller|timed out", answer.stderr):
        raise SchedulerError(f"SLURM does not answer: {reason(answer)}; jobs are not affected, try again later")
    return answer


def reason(answer: subprocess.CompletedProcess[str]) -> str:
    """What a command that failed said last."""
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    return _message(lines[-1]) if lines else f"{answer.args[0]} ended with exit code {answer.returncode}"


def _message(line: str) -> str:
    return re.sub(r"^(\w+: )?(error|fatal): ", "", line.strip())


def _job(one: str) -> str:
    return one.partition("_")[0]


def _exit(status: int) -> tuple[int, int]:
    """Exit code and signal of what ``wait`` returned. The eighth bit belongs to the signal for SLURM's own ones."""
    return status >> 8, status & 0x7F


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
