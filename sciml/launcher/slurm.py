"""SLURM: one array, submitted and left alone.

A task of the array is one command under ``srun``. Before its time is up, or when it is preempted, SLURM sends
it SIGUSR2; it saves, has itself requeued, and goes on where it was when its turn comes again. The batch script
says which command a task runs, and SLURM keeps that script: nothing that is edited later reaches the queue.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from sciml import scheduler
from sciml.errors import RunError, UsageError
from sciml.folder import write_atomically
from sciml.launcher.base import Launcher
from sciml.ranges import Count, Natural
from sciml.signals import SHIELDED


class Slurm(Launcher):
    """An array of jobs.

    Args:
        partition: Where the jobs go; None: where the cluster sends them by default.
        time: Limit of one task, ``"hours:minutes:seconds"`` or ``"days-hours"``; None: the partition's.
        memory: Of one task, for instance ``8G``; None: the partition's.
        cpus: Cores of one task.
        gpus: GPUs on each of its nodes.
        nodes: Nodes of one task.
        tasks_per_node: Processes on each node, for runs that are trained by several.
        account: Whom it is charged to.
        qos: Quality of service.
        constraint: Features that a node must have.
        parallel: How many tasks of the array may run at a time; 0: as many as the cluster lets.
        signal: Seconds before the time limit, or the end of a preempted job, at which it is told to save.
        setup: Lines of shell that each task runs first, such as ``module load cuda``.
        srun: More options of ``srun``.
        sbatch: More options of ``sbatch`` by their long names; ``true`` gives one without a value.
        runs_per_task: How many runs one task makes, one after the other.
    """

    waits: ClassVar[bool] = False

    def __init__(
        self,
        *,
        partition: str | None = None,
        time: str | None = None,
        memory: str | None = None,
        cpus: Count = 1,
        gpus: Natural = 0,
        nodes: Count = 1,
        tasks_per_node: Count = 1,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        parallel: Natural = 0,
        signal: Natural = 120,
        setup: Sequence[str] = (),
        srun: Sequence[str] = (),
        sbatch: Mapping[str, str | int | bool | None] | None = None,
        runs_per_task: Count = 1,
    ) -> None:
        self.options: dict[str, str | int | bool | None] = {
            "partition": partition,
            "time": time,
            "mem": memory,
            "cpus-per-task": cpus,
            "gpus-per-node": gpus or None,
            "nodes": nodes,
            "ntasks-per-node": tasks_per_node,
            "account": account,
            "qos": qos,
            "constraint": constraint,
            "signal": f"USR2@{signal}",
            "requeue": True,
            "open-mode": "append",
            **{key.replace("_", "-"): value for key, value in (sbatch or {}).items()},
        }
        self.parallel, self.setup = parallel, list(setup)
        # SLURM 22.05 and later hand the cores of a job to its steps only if they are asked for again.
        self.srun = ["srun", "--unbuffered", f"--cpus-per-task={cpus}", *srun]
        self.runs_per_task = runs_per_task

    def check(self) -> None:
        scheduler.longest_array()

    def log(self, folder: Path, name: str, index: int, task: str = "") -> Path:
        return folder / f"{name}-{task}.log"

    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        longest = scheduler.longest_array()
        ids: list[str] = []
        arrays: list[str] = []
        for start in range(0, len(commands), longest):
            part = commands[start : start + longest]
            script = folder / f"{name}{f'.{len(arrays)}' if len(commands) > longest else ''}.sbatch"
            write_atomically(script, self.script(part, folder, name))
            try:
                arrays.append(scheduler.submit(script))
            except (UsageError, RunError):
                scheduler.cancel(arrays)
                raise
            ids += [f"{arrays[-1]}_{i}" for i in range(len(part))]
        return ids

    def script(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> str:
        """The batch script of an array.

        Args:
            commands: A task each.
            folder: Where their output goes.
            name: What the user sees in the queue.

        Raises:
            UsageError: An option cannot be written on one line.
        """
        limit = f"%{self.parallel}" if self.parallel else ""
        output = folder.as_posix().replace("%", "%%")
        options = {
            "job-name": name,
            "array": f"0-{len(commands) - 1}{limit}",
            "output": f"{output}/{name}-%A_%a.log",
            **self.options,
        }
        lines = ["#!/bin/bash"]
        for key, value in options.items():
            if value is not None and value is not False:
                lines.append(f"#SBATCH --{key}" + ("" if value is True else f"={_quoted(key, value)}"))
        # Twice quoted: what stands in the array is a line of shell, run as it stands.
        given = [shlex.quote(shlex.join(command)) for command in commands]
        # Started so that a notice at the wrong moment does not end the task, which nobody would requeue then.
        lines = [*lines, *self.setup, f"start=({shlex.join([*self.srun, *SHIELDED])})", "commands=(", *given, ")"]
        return "\n".join([*lines, 'eval "exec \\"\\${start[@]}\\" ${commands[$SLURM_ARRAY_TASK_ID]}"', ""])


def _quoted(key: str, value: str | int) -> str:
    text = str(value)
    if "\n" in text or '"' in text:
        raise UsageError(f"bad value for the option {key} of sbatch: {text!r} has a line break or a quote")
    return f'"{text}"' if any(c in text for c in " '\\#;&|<>$`()") else text
