"""SLURM through submitit: one array, submitted and left alone.

submitit asks of what it runs that it can be called again after an interruption. A command here is called in the
job's process; when it ends because of SIGUSR2 it has saved, and submitit's own handler then has the job requeued.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sciml import scheduler
from sciml.errors import RunError, UsageError
from sciml.launcher.base import Launcher
from sciml.launcher.warm import call
from sciml.ranges import Count, Natural
from sciml.signals import REQUEUE, SHIELDED


class Submitit(Launcher):
    """An array of submitit's jobs.

    Args:
        partition: Where the jobs go; None: where the cluster sends them by default.
        minutes: Time limit of one task.
        memory: Of one task, for instance ``8G``; None: the partition's.
        cpus: Cores of one task.
        gpus: GPUs on each of its nodes.
        nodes: Nodes of one task.
        tasks_per_node: Processes on each node.
        account: Whom it is charged to.
        qos: Quality of service.
        constraint: Features that a node must have.
        parallel: How many tasks of the array may run at a time.
        signal: Seconds before its end at which a task is told to save.
        setup: Lines of shell that each task runs first.
        sbatch: More options of ``sbatch`` by their long names.
        timeouts: How often a task may run into its time limit. submitit takes most signals for one.
    """

    waits: ClassVar[bool] = False

    def __init__(
        self,
        *,
        partition: str | None = None,
        minutes: Count = 60,
        memory: str | None = None,
        cpus: Count = 1,
        gpus: Natural = 0,
        nodes: Count = 1,
        tasks_per_node: Count = 1,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        parallel: Natural = 256,
        signal: Natural = 120,
        setup: Sequence[str] = (),
        sbatch: Mapping[str, str | int | bool | None] | None = None,
        timeouts: Natural = 1000,
    ) -> None:
        self.timeouts = timeouts
        extra = {"account": account, **{key.replace("_", "-"): value for key, value in (sbatch or {}).items()}}
        self.options: dict[str, Any] = {
            "partition": partition,
            "time": minutes,
            "mem": memory,
            "cpus_per_task": cpus,
            "gpus_per_node": gpus or None,
            "nodes": nodes,
            "ntasks_per_node": tasks_per_node,
            "qos": qos,
            "constraint": constraint,
            "array_parallelism": parallel,
            "signal_delay_s": signal,
            "setup": list(setup) or None,
            "stderr_to_stdout": True,
            "srun_args": [f"--cpus-per-task={cpus}"],
            "additional_parameters": {key: value for key, value in extra.items() if value is not None} or None,
        }

    def check(self) -> None:
        _submitit()
        scheduler.longest_array()

    def log(self, folder: Path, name: str, index: int, task: str = "") -> Path:
        return folder / name / f"{task}_0_log.out"

    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        submitit = _submitit()
        try:
            executor = submitit.SlurmExecutor(
                folder=folder / name, max_num_timeout=self.timeouts, python=shlex.join([*SHIELDED, sys.executable])
            )
            executor.update_parameters(job_name=name, **{k: v for k, v in self.options.items() if v is not None})
            with executor.batch():
                jobs = [executor.submit(Command(list(command))) for command in commands]
        except submitit.core.utils.FailedJobError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            raise UsageError(f"SLURM refuses the sweep: {lines[-1] if lines else error}") from error
        except (RuntimeError, OSError) as error:
            raise RunError(f"submitit cannot submit: {' '.join(str(error).split())[:300]}") from error
        return [job.job_id for job in jobs]


class Command:
    """A command that submitit can call, and call again.

    Args:
        command: ``[python, "-m", module, *arguments]``.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)

    def __call__(self) -> int:
        """Run it; a run that saved itself hands over to submitit's handler, which has the job requeued."""
        code = call(self.command)
        if code == REQUEUE:
            os.kill(os.getpid(), signal.SIGUSR2)
        return code

    def checkpoint(self) -> Any:
        """What submitit runs when the job starts again."""
        return _submitit().helpers.DelayedSubmission(self)


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise UsageError('the launcher submitit needs a package that is missing: pip install "sciml[launch]"') from None
    return submitit
