"""The contract of a launcher: it starts commands somewhere, and that is all it knows.

What a command does, which runs it makes and where they stand is the business of :mod:`sciml.sweep`; a
launcher gets command lines and says under which ids a scheduler knows them. Its settings are a file of
``conf/launcher/``, every parameter explicit, which a site copies and changes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar


class Launcher(ABC):
    """Starts commands.

    Attributes:
        waits: Whether :meth:`launch` returns only when all commands are over. If not, they outlive this
            process and belong to a scheduler.
        runs_per_task: How many runs of a sweep one command makes, one after the other.
    """

    waits: ClassVar[bool]
    runs_per_task: int = 1

    def check(self) -> None:  # noqa: B027 - most launchers have nothing that could be missing
        """Look, before anything is written, whether commands can be started here at all.

        Raises:
            UsageError: Something is missing; the message says what.
        """

    def log(self, folder: Path, name: str, index: int, task: str = "") -> Path:
        """Where the output of a command goes.

        Args:
            folder: As for :meth:`launch`.
            name: As for :meth:`launch`.
            index: Which command.
            task: Its id.
        """
        return folder / f"{name}-{index}.log"

    @abstractmethod
    def launch(self, commands: Sequence[Sequence[str]], folder: Path, name: str) -> list[str]:
        """Start commands, each independent of the others.

        Args:
            commands: Command lines, at least one; ``[python, "-m", module, *arguments]`` may be run in a
                process that has imported the libraries already.
            folder: Where scripts and outputs of the commands go; it exists.
            name: What the user sees in the queue; also the beginning of the names of the files in ``folder``.

        Returns:
            An id for each command, as the scheduler writes it (``"123_4"`` for a task of a SLURM array);
            ``""`` where nothing outlives this call.

        Raises:
            UsageError: The scheduler refuses the commands; nothing was started.
            RunError: The scheduler does not answer; nothing was started.
            Stopped: A signal ended the commands of a launcher that waits; each was given the time to save.
        """
