"""Chunks of a simulation, made one after the other or in several processes, each kept as soon as it is there.

A chunk is a file of its own, whole or absent, and its numbers depend neither on how many processes there are nor on
which of them made it: each has one thread, and its torch is set as the others' are. So a generation that was killed
goes on where it was, and ends in the same bits.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sciml.errors import RunError, UsageError
from sciml.files import write_atomically
from sciml.launcher.local import die_with_parent
from sciml.simulation.base import Simulation

Made = Callable[[int], None]


@dataclass(frozen=True)
class Plan:
    """What is to be made, and where its chunks lie.

    Args:
        simulation: What makes the samples.
        n: How many there are in all.
        seed: Of the data set.
        folder: Of the chunks.
    """

    simulation: Simulation
    n: int
    seed: int
    folder: Path

    @property
    def chunks(self) -> range:
        """Their numbers."""
        return range(-(-self.n // self.simulation.chunk))

    def span(self, chunk: int) -> tuple[int, int]:
        """First sample of a chunk, and how many it has."""
        first = chunk * self.simulation.chunk
        return first, min(self.simulation.chunk, self.n - first)

    def path(self, chunk: int) -> Path:
        """Where a chunk is kept."""
        return self.folder / f"{chunk:06d}.npz"

    def missing(self) -> list[int]:
        """The chunks that are not there yet."""
        return [chunk for chunk in self.chunks if not self.path(chunk).exists()]

    def read(self, chunk: int) -> dict[str, np.ndarray] | None:
        """The arrays of a chunk; None, and it is away, if it is damaged."""
        try:
            with open(self.path(chunk), "rb") as raw, np.load(raw, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}  # an archive has checksums, and looks at them
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            self.path(chunk).unlink(missing_ok=True)
            return None

    def make(self, chunk: int) -> None:
        """Compute a chunk and keep it.

        Raises:
            RunError: It cannot be computed, is not finite, is not what the contract says, or cannot be written.
        """
        first, count = self.span(chunk)
        try:
            fields = self.simulation.samples(first, count, self.seed)
        except (RunError, UsageError) as error:
            raise RunError(f"{self.simulation.name()}: {error}") from error
        except Exception as error:
            short = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            raise RunError(f"{self._words(first, count)} cannot be computed: {short}") from error
        self._check(fields, first, count)
        buffer, arrays = io.BytesIO(), dict[str, Any](fields)
        np.savez(buffer, **arrays)
        write_atomically(self.path(chunk), buffer.getvalue())

    def _check(self, fields: dict[str, np.ndarray], first: int, count: int) -> None:
        coordinates = self.simulation.coordinates()
        grid = tuple(len(coordinates[f"{axis}-coordinate"]) for axis in "xyz"[: len(self.simulation.periodic)])
        if not fields:
            raise RunError(f"{self._words(first, count)}: there are no arrays")
        for name, values in fields.items():
            if values.dtype != np.float32 or len(values) != count or values.shape[-len(grid) :] != grid:
                form = f"float32 ({count}, ..., {', '.join(map(str, grid))})"
                raise RunError(f"{self._words(first, count)}: {name} is {values.dtype} {values.shape}, not {form}")
            for i in range(count):
                if not np.isfinite(values[i]).all():
                    raise RunError(f"{self._words(first + i, 1)}: {name} is not finite everywhere")

    def _words(self, first: int, count: int) -> str:
        which = f"sample {first}" if count == 1 else f"samples {first} to {first + count - 1}"
        settings = " ".join(f"{name}={json.dumps(value)}" for name, value in self.simulation.parameters().items())
        return f"{self.simulation.name()}: {which} of seed {self.seed} ({settings})"


@contextmanager
def settled() -> Iterator[None]:
    """Torch as every process that makes chunks has it, whatever a run has set: one thread, float32, no gradients."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with torch.no_grad(), torch.device("cpu"):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


def here(plan: Plan, chunks: Sequence[int], made: Made) -> None:
    """Make chunks in this process.

    Raises:
        RunError: One cannot be made; those before it are kept.
    """
    with settled():
        for chunk in chunks:
            plan.make(chunk)
            made(chunk)


def forked(plan: Plan, chunks: Sequence[int], made: Made, jobs: int) -> None:
    """Make chunks in children of this process, which must not have used torch on several threads: they would hang.

    Args:
        plan: What they belong to.
        chunks: Their numbers.
        made: Called with the number of each that is there.
        jobs: How many processes.

    Raises:
        RunError: One cannot be made, or a process was killed; the others end, those that are there are kept.
    """
    todo = list(reversed(chunks))
    workers: dict[Connection, tuple[Any, int]] = {}  # the process at the other end, and the chunk that it makes
    context = multiprocessing.get_context("fork")
    try:
        for _ in range(min(jobs, len(chunks))):
            mine, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(plan, theirs, [*workers, mine], os.getpid()), daemon=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # a bar has a thread, which the child does without
                process.start()
            theirs.close()
            workers[mine] = (process, _hand_out(mine, todo))
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                process, chunk = workers[connection]
                try:
                    message, trace = connection.recv()
                except (EOFError, ConnectionResetError):
                    process.join()
                    raise RunError(_killed(process.exitcode)) from None
                if message is not None:
                    error = RunError(message)
                    error.add_note(trace)
                    raise error
                made(chunk)
                if todo:
                    workers[connection] = (process, _hand_out(connection, todo))
                else:
                    del workers[connection]
                    connection.close()
                    process.join()
    finally:
        for connection, (process, _) in workers.items():  # still there only if something went wrong
            process.kill()
            process.join()
            connection.close()


def _hand_out(connection: Connection, todo: list[int]) -> int:
    chunk = todo.pop()
    with suppress(BrokenPipeError):  # it has died already, which shows when its answer is waited for
        connection.send(chunk)
    return chunk


def _killed(code: int | None) -> str:
    how = f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
    hint = "; if memory is short, take fewer processes (--jobs)" if code == -signal.SIGKILL else ""
    return f"a process that made samples was {how}{hint}; the same command goes on from what is there"


def _serve(plan: Plan, connection: Connection, others: Sequence[Connection], parent: int) -> None:
    """The life of a child: chunks that it is handed, until there are no more, or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    for other in others:  # the parent's ends, which came along: open here, they would hide that the parent is gone
        other.close()
    with suppress(EOFError, OSError), settled():
        while os.getppid() == parent:
            chunk = connection.recv()
            try:
                plan.make(chunk)
                connection.send((None, ""))
            except RunError as error:
                connection.send((str(error), traceback.format_exc()))
