"""A run: from a composed config to one row.

``execute`` trains and tests, ``evaluate`` tests again from a checkpoint, ``load`` rebuilds the module of a run. A run
owns the folder ``<outputs>/<experiment>/<hash>-seed<n>``; with a row it is complete and not repeated, without one the
run goes on from its last checkpoint.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from rich.console import Console

from sciml import checkpoint, datafile, provenance, track
from sciml.build import check_shares, module_of, trainer_of
from sciml.checkpoint import Checkpoint
from sciml.config import Origin, Tree, check, digest
from sciml.errors import ConfigError, RunError, Stopped, UsageError
from sciml.folder import Row, RunFolder, placed, run_folder
from sciml.numerics import numerics, quiet
from sciml.parallel import ALONE
from sciml.place import behind, processes
from sciml.progress import Bar
from sciml.rendezvous import Meeting, following
from sciml.signals import StopSignal, heeding, interruptible

log = logging.getLogger("sciml")


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Args:
        tree: The resolved config as plain dicts and lists, without the ``hydra`` node.
        raw: The same with its interpolations unresolved; None for a config that was filed resolved.
        experiment: Name of the experiment, the upper part of the run folder.
        choices: Which file each config group was filled from.
        command: The command line.
        trust: Packages that the user trusts beside the built-in ones.
        force: Repeat a finished run.
        origin: Says which file gave a key, for messages.
    """

    tree: Tree
    raw: Mapping[str, Any] | None
    experiment: str
    choices: Mapping[str, str] = field(default_factory=dict)
    command: str = "sciml train"
    trust: tuple[str, ...] = ()
    force: bool = False
    origin: Origin | None = None

    @property
    def folder(self) -> RunFolder:
        """The folder that this run owns."""
        return run_folder(Path(self.tree["outputs"]), self.experiment, digest(self.tree), self.tree["seed"])

    def shipped(self) -> dict[str, Any]:
        """What another process needs to take part in the run, as plain data."""
        tree = {**self.tree, "outputs": str(Path(self.tree["outputs"]).resolve())}
        return {"tree": tree, "raw": self.raw, "experiment": self.experiment, "trust": self.trust}


@dataclass(frozen=True)
class Outcome:
    """A row, where it lies, and whether it was there before."""

    row: Row
    folder: RunFolder
    found: bool


def execute(request: Request, console: Console | None = None, stop: StopSignal | None = None) -> Outcome:
    """Run to the end, or find the row of an identical run.

    Args:
        request: The run.
        console: Where progress is shown; nowhere if None.
        stop: Signals that are being watched already; None watches them from here on.

    Returns:
        The row and the folder.

    Raises:
        ConfigError: The config must not be built.
        RunError: The run failed for a known reason, or another process owns its folder.
        Stopped: A signal stopped it; it can be resumed.
        SystemExit: With the run's exit code, in each of several processes but the first.
    """
    try:
        family = check(request.tree, request.raw, trust=request.trust, origin=request.origin)
        size, spot = processes(request.tree["trainer"])
    except UsageError as error:
        if behind():
            raise SystemExit(2) from error
        raise
    # Of processes that were started together the first says what it found: it owns the folder.
    if spot is None and (found := _found(request)):
        return found
    with nullcontext(stop) if stop else StopSignal() as watched:
        meeting = Meeting(size, spot, watched, str(request.folder.path))
        if meeting.follows:
            with following(meeting):
                _follow(request, family, meeting)
        with meeting:
            return _lead(request, family, meeting, console)


def _found(request: Request) -> Outcome | None:
    """The row of an identical run, where there is one and the user does not want another."""
    if request.force or (row := request.folder.read_row()) is None:
        return None
    datafile.warn(row)
    return Outcome(row, request.folder, found=True)


def _lead(request: Request, family: str, meeting: Meeting, console: Console | None) -> Outcome:
    folder = request.folder
    with folder.nothing_if_refused(), folder.lock():
        # Once more: the process that owned the folder a moment ago may have finished it.
        if found := _found(request):
            return found
        if request.force:
            folder.set_aside()
        kept = {key: value for key, value in request.tree.items() if key != "outputs"}
        folder.write_config({"experiment": request.experiment, "choices": dict(request.choices), "config": kept})
        folder.error.unlink(missing_ok=True)
        with folder.accounted():
            row = _run(request, family, meeting, console)
    return Outcome(row, folder, found=False)


def _run(request: Request, family: str, meeting: Meeting, console: Console | None) -> Row:
    tree, seed, folder, stop, ranks = request.tree, request.tree["seed"], request.folder, meeting.stop, meeting.ranks
    provenance.reset_peak_memory()
    started = datetime.now(UTC)
    code = provenance.commit()
    before = folder.read_status()  # of the interrupted part that this one continues
    wandb_id = before.get("wandb_id") or track.new_id()
    command = before.get("command") or request.command
    folder.update_status(wandb_id=wandb_id, command=command)
    saver = Checkpoint(folder, every_seconds=tree["checkpoint"]["every_seconds"], stop=stop, ranks=ranks)
    state = checkpoint.latest(folder)
    folder.cut_metrics(state["global_step"] if state else -1)
    name = f"{request.experiment} {folder.path.name}"
    tracker = track.Tracker(folder, tree, tree["track"], name=name, wandb_id=wandb_id)
    try:
        outputs, told = placed(Path(tree["outputs"])), heeding(stop, str(folder.path))
        read = datafile.recording(
            before.get("files") if state else None, lambda files: folder.update_status(files=files)
        )
        with numerics(tree["threads"], tree["deterministic"]), quiet(), outputs, told, read as readings:
            callbacks = [saver, *([Bar(console, f"{request.experiment} seed {seed}")] if console else [])]
            trainer = tester = trainer_of(tree, tracker, callbacks, ranks, meeting.local_rank)
            tracker.step = lambda: trainer.global_step
            module = module_of(tree, family, trainer)
            check_shares(module, ranks.size)
            if is_overridden("training_step", module):
                meeting.begin(request.shipped(), {"resume": state is not None})
                _fit(trainer, module, folder, resume=state is not None)
                meeting.after_fit()
            if ranks.size > 1:  # what is left is this process's alone
                tester = trainer_of(tree, tracker, [], ALONE, meeting.local_rank)
            with stop.at_once(str(folder.path)):
                metrics = _test(tester, module, tracker)
            cost = {"steps": trainer.global_step, **_optional(module, "cost", {})}
            tracker.log_figures(_optional(module, "figures", {}))
            folder.write_arrays(_optional(module, "arrays", {}))
            if folder.best.exists():
                module.load_state_dict(checkpoint.read(folder.best)["state_dict"])
                with stop.at_once(str(folder.path)):
                    metrics |= _test(tester, module, tracker, prefix="best/")
            if stop.signum is not None:
                raise Stopped(stop.signum, str(folder.path))
        row = {
            "experiment": request.experiment,
            "family": family,
            "hash": digest(tree),
            "seed": seed,
            "metrics": metrics,
            "best_step": saver.best_step if folder.best.exists() else None,
            "cost": {**cost, "parameters": sum(p.numel() for p in module.parameters())},
            "warnings": [*_optional(module, "warnings", []), *readings.warnings],
            **({"files": readings.files} if readings.files else {}),
            "wall_seconds": round(saver.seconds(), 3),
            "peak_memory_mb": provenance.peak_memory(),
            "device": provenance.device_name(trainer.strategy.root_device.type),
            **({"ranks": ranks.size} if ranks.size > 1 else {}),
            "threads": tree["threads"],
            "precision": str(trainer.precision),
            "choices": dict(request.choices),
            "command": command,
            "started": started.isoformat(timespec="seconds"),
            **code,
            "versions": provenance.versions(),
        }
        folder.write_row(row)
        tracker.finish(row)
    finally:
        tracker.close()
    return row


def _follow(request: Request, family: str, meeting: Meeting) -> None:
    """Train along with rank 0, which has the folder, the terminal and the row."""
    tree, folder = request.tree, request.folder
    word = meeting.wait()
    with numerics(tree["threads"], tree["deterministic"]), quiet(), placed(Path(tree["outputs"])):
        seconds = tree["checkpoint"]["every_seconds"]
        saver = Checkpoint(folder, every_seconds=seconds, stop=meeting.stop, ranks=meeting.ranks)
        trainer = trainer_of(tree, None, [saver], meeting.ranks, meeting.local_rank)
        module = module_of(tree, family, trainer)
        _fit(trainer, module, folder, resume=word["resume"])
        meeting.after_fit()


def _fit(trainer: Trainer, module: LightningModule, folder: RunFolder, *, resume: bool) -> None:
    if trainer.max_steps <= 0:
        raise ConfigError("trainer.max_steps must be at least 1: this run trains")
    with interruptible():
        # weights_only also here: without it Lightning loads what it takes for a remote file as a pickle.
        trainer.fit(module, ckpt_path=str(folder.last) if resume else None, weights_only=True)


def _test(
    trainer: Trainer, module: LightningModule, tracker: track.Tracker | None, prefix: str = ""
) -> dict[str, float]:
    if tracker is not None:
        tracker.testing, tracker.prefix = True, prefix
    with interruptible():
        results = trainer.test(module, verbose=False)
    metrics = {f"{prefix}{name}": float(value) for result in results for name, value in result.items()}
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise RunError(f"metric '{name}' is {value} after {trainer.global_step} steps")
    if not metrics:
        raise RunError(f"{type(module).__name__} logged no metric in its test: there is nothing to put into a row")
    return metrics


def _optional(module: LightningModule, name: str, default: Any) -> Any:
    method = getattr(module, name, None)
    return method() if callable(method) else default


def load(path: Path | str, which: str = "last", trust: Iterable[str] = ()) -> LightningModule:
    """Rebuild the module of a run with the weights it ended with.

    Args:
        path: The run folder.
        which: ``last`` or ``best``.
        trust: Packages that the user trusts.

    Returns:
        The module on the CPU, in evaluation mode.

    Raises:
        UsageError: The folder, its config or its checkpoint is missing, damaged or not trusted.
    """
    folder = RunFolder(Path(path))
    with placed(_outputs_of(folder, folder.read_config())):
        return _rebuild(folder, which, trust)[0]


def evaluate(folder: RunFolder, which: str = "last", trust: Iterable[str] = ()) -> dict[str, float]:
    """Test a run again from its checkpoint; writes nothing.

    Args:
        folder: The run.
        which: ``last`` or ``best``.
        trust: Packages that the user trusts.

    Returns:
        The metrics by name.

    Raises:
        UsageError: As for :func:`load`.
        RunError: A metric is not finite.
    """
    stored = folder.read_config()
    tree = stored["config"]
    with numerics(tree["threads"], tree["deterministic"]), quiet(), placed(_outputs_of(folder, stored)):
        module, trainer = _rebuild(folder, which, trust)
        return _test(trainer, module, None)


def _outputs_of(folder: RunFolder, stored: Mapping[str, Any]) -> Path:
    """Where the runs are that a run was made of: beside it, wherever this process is."""
    depth, above = len(Path(str(stored.get("experiment", ""))).parts), folder.path.resolve().parents
    return above[min(depth, len(above) - 1)]  # the folder may have been moved


def _rebuild(folder: RunFolder, which: str, trust: Iterable[str]) -> tuple[LightningModule, Trainer]:
    if which not in ("last", "best"):
        raise UsageError(f"there is no checkpoint '{which}': choose last or best")
    tree = folder.read_config()["config"]
    family = check({**tree, "outputs": "outputs"}, None, trust=trust)
    with quiet():
        trainer = trainer_of(tree, None, [])
        module = module_of(tree, family, trainer)
    if is_overridden("training_step", module):
        state = checkpoint.read(folder.last if which == "last" else folder.best)
        try:
            module.load_state_dict(state["state_dict"])
            module.on_load_checkpoint(state)
        except (RuntimeError, KeyError) as error:
            raise UsageError(
                f"{which}.ckpt in {folder.path} does not fit its config: {str(error).splitlines()[0]}"
            ) from error
    return module.eval(), trainer
