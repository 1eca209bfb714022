"""Tracking: every number goes to the run folder (the truth) and to Weights & Biases (the mirror).

Nothing else in the program knows about W&B. The mirror works in a thread of its own: importing and
starting it takes seconds, and training does not wait for it. The default mode is ``offline``: no
account, no key, no network; ``wandb sync`` uploads such a run later, ``wandb leet`` shows it.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import Logger

from sciml.errors import RunError
from sciml.files import disk_error
from sciml.folder import RunFolder

if TYPE_CHECKING:
    from argparse import Namespace

    from lightning.pytorch.loggers import WandbLogger
    from matplotlib.figure import Figure

log = logging.getLogger("sciml")
PARTING = 120.0  # seconds that a finished run waits for its mirror
SILENT = 5.0  # those of them of which nothing is said
OFFLINE_PATIENCE = 60.0  # seconds of a run before its offline mirror starts, if it is not over by then


class Tracker(Logger):
    """A Lightning logger that writes ``metrics.jsonl`` and passes everything on to the mirror.

    Args:
        folder: The run folder.
        tree: The resolved config, filed as the W&B run's config.
        settings: The config's ``track`` node.
        name: Name of the run.
        wandb_id: Id of the W&B run; the same after a resume, so that both halves are one run.

    Raises:
        RunError: ``metrics.jsonl`` cannot be written.
    """

    def __init__(
        self, folder: RunFolder, tree: Mapping[str, Any], settings: Mapping[str, Any], *, name: str, wandb_id: str
    ) -> None:
        super().__init__()
        self._name, self._id, self._folder = name, wandb_id, folder
        self.step: Callable[[], int] = lambda: 0
        self.testing = False
        self.prefix = ""  # put before every name, while the best weights are tested
        self._status_written = 0.0
        # Of the part of the run that this one continues too: what it had logged is no news either.
        self._last = folder.last_metrics()
        try:
            self._file = open(folder.metrics, "a", encoding="utf-8")  # noqa: SIM115 - open for the whole run
        except OSError as error:
            raise disk_error(error, folder.metrics) from error
        self._mirror: _Mirror | None = None
        if settings["mode"] != "disabled":
            # Who is online wants to see the run, and to know at once if nobody is logged in.
            patience = 0.0 if settings["mode"] == "online" else OFFLINE_PATIENCE
            self._mirror = _Mirror(
                lambda: _start_wandb(folder.path, tree, settings, name, wandb_id), patience, settings["mode"]
            )

    @property
    def name(self) -> str:
        """Name of the run."""
        return self._name

    @property
    def version(self) -> str:
        """Id of the W&B run."""
        return self._id

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: the whole config is filed when the run starts."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics at the trainer's optimiser step.

        Raises:
            RunError: The line cannot be written, or the mirror could not be started.
        """
        step = self.step()
        numbers = {f"{self.prefix}{name}": float(value) for name, value in metrics.items() if name != "epoch"}
        # Lightning repeats what a batch logged until a later one logs it anew; only a change is news.
        repeated = {name for name, value in numbers.items() if self._last.get(name) == value}
        if repeated == numbers.keys():
            return
        self._last |= numbers
        numbers = {name: value for name, value in numbers.items() if not (name in repeated and name.startswith("val/"))}
        stage = {"stage": "test"} if self.testing else {}
        self._write({"step": step, "time": round(time.time(), 3), **stage, **numbers})
        if time.monotonic() - self._status_written > 1:
            self._folder.update_status(step=step, metrics=numbers)
            self._status_written = time.monotonic()
        if self._mirror is not None:
            self._mirror.put(lambda wandb: wandb.log_metrics(numbers, step))

    def log_figures(self, figures: Mapping[str, Figure]) -> None:
        """Write figures as PNG into the run folder and to the mirror.

        Raises:
            RunError: They cannot be written.
        """
        for name, figure in figures.items():
            path = self._folder.figures / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', name)}.png"
            try:
                path.parent.mkdir(exist_ok=True)
                figure.savefig(path, dpi=150, bbox_inches="tight")
            except OSError as error:
                raise disk_error(error, path) from error
            if self._mirror is not None:
                self._mirror.put(lambda wandb, n=name, p=path: wandb.log_image(f"figure/{n}", [str(p)]))

    def finish(self, row: Mapping[str, Any]) -> None:
        """Pass the row, and row and checkpoints as an artifact, to the mirror, and wait until it has them."""
        files = [path for path in (self._folder.row, self._folder.last, self._folder.best) if path.exists()]
        if self._mirror is not None:
            self._mirror.put(lambda wandb: _file_row(wandb, row, files, f"run-{self._id}"))
        self.close()

    def close(self) -> None:
        """Close the file and the mirror; safe to call twice."""
        self._file.close()
        if self._mirror is not None:
            self._mirror.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise disk_error(error, self._folder.metrics) from error


class _Mirror:
    """Runs jobs on a WandbLogger, one after another, in a thread.

    Starting W&B takes two seconds of Python, which training on the same interpreter would lose. So the thread
    waits: until the first job is ``patience`` seconds old, or until the run is over.
    """

    def __init__(self, start: Callable[[], WandbLogger], patience: float, mode: str) -> None:
        self._patience, self._mode = patience, mode
        self._first: float | None = None
        self._jobs: queue.SimpleQueue[Callable[[WandbLogger], None] | None] = queue.SimpleQueue()
        self._error: str | None = None
        self._started = False
        # A daemon: a run that dies does not wait for its mirror.
        self._thread = threading.Thread(target=self._work, args=(start,), name="wandb", daemon=True)

    def put(self, job: Callable[[WandbLogger], None]) -> None:
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        if self._thread.ident is None and now - self._first >= self._patience:
            self._thread.start()
        if self._error and not self._started and self._mode == "online":
            reason, self._error = self._error, None  # said once
            raise RunError(f"W&B did not start: {reason}; use track.mode=offline, or `wandb login`")
        if not self._error:
            self._jobs.put(job)

    def close(self) -> None:
        if self._thread.ident is None and self._first is not None:
            self._thread.start()
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(timeout=min(SILENT, PARTING))
            if self._thread.is_alive():
                log.info("waiting for W&B, at most %.0f s; the run folder has everything", PARTING)
                self._thread.join(timeout=max(0.0, PARTING - SILENT))
            if self._thread.is_alive():
                log.warning("W&B does not answer after %.0f s; the run folder has everything", PARTING)
        if self._error:
            what = "stopped taking data" if self._started else "did not start"
            log.warning("W&B %s: %s; the run folder has everything", what, self._error)
            self._error = None

    def _work(self, start: Callable[[], WandbLogger]) -> None:
        # Whatever goes wrong in somebody else's service must not take the run down with it.
        try:
            wandb = start()
            self._started = True
            while (job := self._jobs.get()) is not None:
                job(wandb)
            wandb.experiment.finish()
        except Exception as error:  # noqa: BLE001
            self._error = _reason(error)
            _abandon_wandb()


def _reason(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _init(settings: Mapping[str, Any], folder: Path, **more: Any) -> Any:
    """A W&B run with a config's ``track`` node; it keeps to its own files."""
    import wandb

    return wandb.init(
        project=settings["project"],
        entity=settings["entity"],
        group=settings["group"],
        tags=settings["tags"],
        mode=settings["mode"],
        dir=str(folder),
        settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True),
        **more,
    )


def _start_wandb(
    path: Path, tree: Mapping[str, Any], settings: Mapping[str, Any], name: str, wandb_id: str
) -> WandbLogger:
    from lightning.pytorch.loggers import WandbLogger

    return WandbLogger(experiment=_init(settings, path, name=name, id=wandb_id, resume="allow", config=dict(tree)))


def _abandon_wandb() -> None:
    """Forget a service that broke: a next run must not look for it, nor the end of the process wait for it."""
    import sys

    if wandb := sys.modules.get("wandb"):
        try:
            wandb.teardown()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it has been reported already
            log.debug("W&B's service could not be ended: %s", error)


def _file_row(wandb_logger: WandbLogger, row: Mapping[str, Any], files: list[Path], name: str) -> None:
    import wandb

    run = wandb_logger.experiment
    run.summary.update({**row["metrics"], "row": dict(row)})
    artifact = wandb.Artifact(name, type="run", metadata={"hash": row["hash"], "seed": row["seed"]})
    for path in files:
        # The files no longer change: recorded where they lie, not copied to a staging folder first.
        artifact.add_file(str(path), policy="immutable")
    run.log_artifact(artifact)


def new_id() -> str:
    """A fresh id for a W&B run, without importing wandb."""
    import secrets

    return secrets.token_hex(4)


def log_table(name: str, cells: Sequence[Mapping[str, Any]], settings: Mapping[str, Any], folder: Path) -> bool:
    """Log a judged table as a ``wandb.Table``, in a W&B run of its own.

    Args:
        name: ``paper/table``.
        cells: From :func:`sciml.render.cells`.
        settings: A config's ``track`` node; nothing happens in mode ``disabled``.
        folder: Where W&B keeps the run; it is made.

    Returns:
        Whether W&B has it; if not, the log says why. The table itself is made of rows and does not depend on it.
    """
    if settings["mode"] == "disabled":
        return False
    # Whatever goes wrong in somebody else's service must not take the table down with it.
    try:
        folder.mkdir(parents=True, exist_ok=True)
        import wandb

        columns: list[Any] = list(dict.fromkeys(key for cell in cells for key in cell))
        # Nested values as text: a column of a wandb.Table has one type.
        data: list[Any] = [[_plain(cell.get(key)) for key in columns] for cell in cells]
        run = _init(settings, folder, name=f"table {name}", job_type="table")
        run.log({name: wandb.Table(columns=columns, data=data)})
        run.finish()
    except Exception as error:  # noqa: BLE001
        log.warning("W&B did not take the table: %s", _reason(error))
        return False
    return True


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value
