"""SLURM's commands as shell scripts on the PATH: what they print is written down in the test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

_WIDTHS = (48, 24, 64, 12, 16)  # of the columns that sciml.scheduler asks squeue for


class FakeSlurm:
    """Commands that print what a test says, and note how they were called.

    Args:
        folder: Where they lie; made the only folder of the PATH beside the system's.
        patch: Of the test.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        self.folder, self.log = folder, folder / "calls"
        patch.setenv("PATH", os.pathsep.join([str(folder), "/bin"]))
        self.command("sacct", err="Slurm accounting storage is disabled", code=1)

    def command(self, name: str, out: str = "", *, err: str = "", code: int = 0, script: str = "") -> None:
        """Set what a command does."""
        path = self.folder / name
        (self.folder / f"{name}.out").write_text(out)
        (self.folder / f"{name}.err").write_text(err + "\n" if err else "")
        lines = ["#!/bin/bash", f'echo "{name} $*" >>{self.log}', script,
                 f"cat {path}.out; cat {path}.err >&2; exit {code}"]  # fmt: skip
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o755)

    def queue(self, *jobs: tuple[str, str, str, int, int]) -> None:
        """Jobs that the controller knows: id, state, reason, restarts, and what ``wait`` returned for it."""
        lines = ["".join(f"{cell!s:<{width}}" for cell, width in zip(job, _WIDTHS, strict=True)) for job in jobs]
        self.command("squeue", "".join(f"{line}\n" for line in lines))

    def job(self, number: str, **fields: str | int) -> None:
        """The job that ``scontrol show job`` knows; other calls of scontrol succeed."""
        known: Mapping[str, str | int] = {"JobId": number, "JobState": "RUNNING", "Requeue": 1, "BatchFlag": 1,
                                          "PreemptTime": "None", **fields}  # fmt: skip
        self.command("scontrol", " ".join(f"{key}={value}" for key, value in known.items()) + "\n")

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call of a command so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split()[1:] for line in lines if line.split()[0] == name]
