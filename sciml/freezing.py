"""Making a sweep: its runs are frozen, all of them or none.

Freezing a run files its resolved config in its run folder, where ``sciml resume`` finds it too: what is
edited afterwards, a config or an experiment, changes nothing.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sciml.config import Tree, digest
from sciml.errors import UsageError
from sciml.folder import RunFolder, disk_error, run_folder, write_atomically
from sciml.sweep import FOLDER, Run, Sweep


@dataclass(frozen=True)
class Draft:
    """A composed run.

    Args:
        tree: The resolved config.
        experiment: Name of the experiment.
        choices: Which file each config group was filled from.
        label: The overrides in which it differs from the others of its sweep.
        command: The command line that makes this run alone.
    """

    tree: Tree
    experiment: str
    choices: Mapping[str, str]
    label: str
    command: str

    @property
    def folder(self) -> RunFolder:
        """The folder that this run owns."""
        return run_folder(Path(self.tree["outputs"]), self.experiment, digest(self.tree), self.tree["seed"])


def new_folder(outputs: Path, experiments: Sequence[str], now: datetime) -> Path:
    """Make the folder of a new sweep, named after its experiment and the time.

    Raises:
        RunError: The outputs cannot be written.
    """
    different = list(dict.fromkeys(experiments))
    stem = re.sub(r"[^\w.]+", "-", different[0]) if len(different) == 1 else f"{len(different)}-experiments"
    base = outputs / FOLDER / f"{stem}-{now:%Y%m%d-%H%M%S}"
    path, again = base, 1
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
            return path
        except FileExistsError:
            if not path.parent.is_dir():
                raise UsageError(f"cannot write {path}: {path.parent} is not a folder") from None
            again += 1
            path = base.with_name(f"{base.name}-{again}")
        except OSError as error:
            raise disk_error(error, path) from error


class Freezing:
    """Makes a sweep, and takes everything back if it is not submitted after all."""

    def __init__(self) -> None:
        self._undo: list[tuple[RunFolder, bool, Mapping[str, Any], bytes | None]] = []
        self._path: Path | None = None
        self._kept = Path()  # what was there before

    def freeze(
        self,
        drafts: Sequence[Draft],
        outputs: Path,
        command: str,
        trust: tuple[str, ...],
        commit: Mapping[str, Any],
        *,
        force: bool = False,
    ) -> Sweep:
        """File the runs and the sweep.

        Args:
            drafts: The runs.
            outputs: Root of the run folders.
            command: The command line.
            trust: Packages that the configs may build from.
            commit: Of the source tree.
            force: Repeat those that are finished; a row is kept as ``row.previous.json``.

        Raises:
            RunError: The disk is full or the outputs cannot be written.
        """
        now = time.time()
        self._kept = outputs if outputs.exists() else outputs.parent
        self._path = path = new_folder(outputs, [d.experiment for d in drafts], datetime.fromtimestamp(now))
        runs = []
        for index, draft in enumerate(drafts):
            folder = draft.folder
            row = folder.row.read_bytes() if folder.row.exists() else None
            self._undo.append((folder, not folder.path.exists(), folder.read_status(), row))
            folder.create()
            if not set_damaged_aside(folder) and force:
                folder.set_aside()
            kept = {key: value for key, value in draft.tree.items() if key != "outputs"}
            folder.write_config({"experiment": draft.experiment, "choices": dict(draft.choices), "config": kept})
            folder.update_status(state="queued", sweep=path.name, command=draft.command, error=None)
            runs.append(
                Run(
                    index=index,
                    label=draft.label,
                    experiment=draft.experiment,
                    seed=draft.tree["seed"],
                    folder=folder.path.relative_to(outputs).as_posix(),
                    steps=draft.tree["trainer"].get("max_steps") or 0,
                    threads=draft.tree["threads"],
                )
            )
        sweep = Sweep(path, command, now, dict(commit), trust, tuple(runs))
        sweep.write()
        return sweep

    def take_back(self) -> None:
        """As if it had never been."""
        for folder, fresh, status, row in reversed(self._undo):
            if row is not None and not folder.row.exists():
                write_atomically(folder.row, row)
            if fresh:
                shutil.rmtree(folder.path, ignore_errors=True)
                _remove_empty(folder.path.parent, self._kept)
            elif status:
                folder.update_status(**{"error": None, "sweep": None, **status})
            else:
                folder.status.unlink(missing_ok=True)
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            _remove_empty(self._path.parent, self._kept)


@contextmanager
def freezing() -> Iterator[Freezing]:
    """Freeze and submit within this block; an exception in it leaves nothing behind."""
    made = Freezing()
    try:
        yield made
    except BaseException:
        made.take_back()
        raise


def _remove_empty(folder: Path, kept: Path) -> None:
    try:
        while folder != kept:  # ends at the first folder that holds something
            folder.rmdir()
            folder = folder.parent
    except OSError:
        return


def set_damaged_aside(folder: RunFolder) -> bool:
    """Make room for a run whose row cannot be read; the file is kept as ``row.damaged.json``."""
    try:
        folder.read_row()
    except UsageError:
        folder.row.replace(folder.row.with_name("row.damaged.json"))
        return True
    return False
