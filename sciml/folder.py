"""The run folder: the truth about a run, in files that are either whole or absent.

==================  =========================================================================
``config.yaml``     the resolved config; enough to rebuild every object of the run
``status.json``     state, step, process; rewritten while the run goes
``metrics.jsonl``   one line for each time metrics were logged
``last.ckpt``       where a stopped run goes on; ``best.ckpt`` has the lowest held-out loss
``previous.ckpt``   the one before ``last.ckpt``, while the run is not complete: should that be damaged
``figures/*.png``   what the method draws after its test
``<name>.npz``      arrays that it hands over: samples of a posterior, scores of training examples
``error.txt``       the full trace, when the run failed
``row.json``        the result; written last: a folder with a row is complete, one without resumable
==================  =========================================================================
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sciml.errors import RunError, Stopped, UsageError
from sciml.files import disk_error, exclusive, replacing, write_atomically

log = logging.getLogger("sciml")
# Where the run in progress looks for other runs. No part of its config: a result does not depend on where it lies.
OUTPUTS: ContextVar[Path] = ContextVar("outputs", default=Path("outputs"))
Row = dict[str, Any]
_ROW_FIELDS: dict[str, type] = {"experiment": str, "family": str, "hash": str, "seed": int, "metrics": dict}


@contextmanager
def placed(outputs: Path) -> Iterator[None]:
    """Let ``outputs`` be the root of all runs while the block runs."""
    token = OUTPUTS.set(outputs)
    try:
        yield
    finally:
        OUTPUTS.reset(token)


class RunFolder:
    """Paths and records of one run.

    Args:
        path: The folder, ``<outputs>/<experiment>/<hash>-seed<n>``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.status = path / "status.json"
        self.metrics = path / "metrics.jsonl"
        self.row = path / "row.json"
        self.last = path / "last.ckpt"
        self.previous = path / "previous.ckpt"
        self.best = path / "best.ckpt"
        self.error = path / "error.txt"
        self.figures = path / "figures"

    def create(self) -> None:
        """Make the folder.

        Raises:
            RunError: It cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Own the folder while the block runs.

        The lock belongs to the process, not to a file's existence: a killed process leaves none behind.

        Raises:
            RunError: Another process owns it.
        """
        self.create()
        try:
            file = open(self.path / ".lock", "a+")  # noqa: SIM115 - held open for as long as the lock
        except OSError as error:
            raise disk_error(error, self.path / ".lock") from error
        with file:
            try:
                exclusive(file, wait=False)
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}")
                file.flush()
            except BlockingIOError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                raise RunError(f"{self.path} is in use by {owner}; wait for it or stop it") from None
            except OSError as error:
                raise disk_error(error, self.path / ".lock") from error
            yield

    @contextmanager
    def nothing_if_refused(self) -> Iterator[None]:
        """A run that is refused, not failed, leaves no folder where there was none."""
        fresh = not self.path.exists()
        try:
            yield
        except UsageError:
            if fresh:
                shutil.rmtree(self.path, ignore_errors=True)
            raise

    @contextmanager
    def accounted(self) -> Iterator[None]:
        """Record how the block ended: done, stopped, or failed with its trace in ``error.txt``."""
        self.update_status(state="running", pid=os.getpid(), started=time.time(), error=None)
        try:
            yield
        except Stopped as stopped:
            with suppress(RunError):  # the checkpoint is saved, and that is what counts
                self.update_status(state="stopped", error=f"signal {stopped.signum}")
            raise
        except KeyboardInterrupt:
            with suppress(RunError):
                self.update_status(state="stopped", error="interrupted")
            raise
        except BaseException as error:
            try:
                self.error.write_text(traceback.format_exc())
                self.update_status(state="failed", error=f"{type(error).__name__}: {error}")
            except (OSError, RunError):
                log.debug("the folder of the failed run cannot be written either")
            raise
        self.update_status(state="done")

    def read_status(self) -> dict[str, Any]:
        """The last status; empty where there is none or it cannot be read."""
        try:
            status = json.loads(self.status.read_text())
        except (OSError, ValueError):
            return {}
        return status if isinstance(status, dict) else {}

    def update_status(self, **changes: Any) -> None:
        """Merge ``changes`` into the status; ``updated`` is set to now (seconds since 1970)."""
        write_atomically(self.status, json.dumps({**self.read_status(), **changes, "updated": time.time()}, indent=1))

    def read_row(self) -> Row | None:
        """The row, or None where the run has not finished.

        Raises:
            UsageError: The file is damaged.
        """
        return read_row(self.row) if self.row.exists() else None

    def write_row(self, row: Mapping[str, Any]) -> None:
        """File the result; from here on the run is complete, and has no use for the last checkpoint but one."""
        write_atomically(self.row, json.dumps(row, indent=1) + "\n")
        with suppress(OSError):
            self.previous.unlink(missing_ok=True)

    def write_arrays(self, files: Mapping[str, Mapping[str, Any]]) -> None:
        """Write each of them as ``<name>.npz``: arrays, or tensors on the CPU, by name.

        Raises:
            RunError: They cannot be written.
        """
        import numpy as np

        for name, arrays in files.items():
            plain: dict[str, Any] = {key: np.asarray(array) for key, array in arrays.items()}
            with replacing(self.path / f"{name}.npz") as temporary, open(temporary, "wb") as stream:
                np.savez(stream, allow_pickle=False, **plain)

    def read_config(self) -> dict[str, Any]:
        """The resolved config that the run was started with.

        Raises:
            UsageError: There is none, or it is not a mapping.
        """
        import yaml

        try:
            # libyaml, where it is there, takes an eighth of the time.
            tree = yaml.load(self.config.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe
        except FileNotFoundError:
            raise UsageError(f"{self.path} is not a run folder: it has no config.yaml") from None
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UsageError(f"{self.config} cannot be read: {str(error).splitlines()[0]}") from error
        if not isinstance(tree, dict) or not {"experiment", "config", "choices"} <= tree.keys():
            raise UsageError(f"{self.config} is damaged: it must hold experiment, choices and config")
        return tree

    def write_config(self, tree: Mapping[str, Any]) -> None:
        """File the resolved config."""
        import yaml

        # The same text from the library in C, where it is there, in a fifth of the time.
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        write_atomically(self.config, yaml.dump(dict(tree), Dumper=dumper, sort_keys=False))

    def set_aside(self) -> None:
        """Make room for a repetition; the finished row is kept as ``row.previous.json``."""
        if self.row.exists():
            os.replace(self.row, self.row.with_name("row.previous.json"))
        for path in (self.last, self.previous, self.best, self.metrics, self.status, self.error):
            path.unlink(missing_ok=True)

    def cut_metrics(self, step: int) -> None:
        """Drop what was logged after ``step``, and every test: a resumed run logs them again."""
        if not self.metrics.exists():
            return
        kept = [line for line in self.metrics.read_text().splitlines() if _step_of(line) <= step]
        write_atomically(self.metrics, "".join(f"{line}\n" for line in kept))

    def last_metrics(self) -> dict[str, float]:
        """The last value that was logged of each metric; what cannot be read is left out."""
        found: dict[str, float] = {}
        if self.metrics.exists():
            for line in self.metrics.read_text().splitlines():
                if _step_of(line) < float("inf"):
                    found |= json.loads(line)
        return {name: value for name, value in found.items() if name not in ("step", "time", "stage")}


def run_folder(outputs: Path, experiment: str, digest: str, seed: int) -> RunFolder:
    """The folder that a run owns.

    Args:
        outputs: Root of all runs.
        experiment: Name of the experiment.
        digest: Identity of the config, without the seed.
        seed: The run's seed.
    """
    return RunFolder(outputs / experiment / f"{digest}-seed{seed}")


def _step_of(line: str) -> float:
    try:
        record = json.loads(line)
        return float("inf") if record.get("stage") == "test" else float(record["step"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return float("inf")  # the torn last line of a killed process


def read_row(path: Path) -> Row:
    """Read one ``row.json``.

    Raises:
        UsageError: The file is not a whole row; the message names the file and the field.
    """
    try:
        row = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise _damaged_row(path, str(error).splitlines()[0]) from error
    if not isinstance(row, dict):
        raise _damaged_row(path, f"it must hold one row, not {type(row).__name__}")
    for field, kind in _ROW_FIELDS.items():
        if not isinstance(row.get(field), kind):
            raise _damaged_row(path, f"its field '{field}' must be {kind.__name__}")
    for name, value in row["metrics"].items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise _damaged_row(path, f"its metric '{name}' is {value!r}, not a number")
    return row


def _damaged_row(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is damaged: {why}; delete it and run the same command again: the run ends anew from its checkpoint"
    )
