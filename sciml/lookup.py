"""Which run a user means."""

from __future__ import annotations

from pathlib import Path

from sciml.config import did_you_mean
from sciml.errors import UsageError
from sciml.folder import RunFolder


def find(text: str, outputs: Path, seed: int | None = None) -> RunFolder:
    """The run that a user means: a folder, a file in it, or a part of its path below ``outputs``.

    Args:
        text: What the user wrote.
        outputs: Root of all runs.
        seed: Of several runs that fit, the one with this seed is meant, if it is only one.

    Raises:
        UsageError: No run or several match.
    """
    path = Path(text)
    if path.is_file():
        path = path.parent
    if (path / "config.yaml").is_file():
        return RunFolder(path)
    if path.is_dir() and path != outputs and not any(path.rglob("config.yaml")):
        raise UsageError(f"{path} is not a run folder: it has no config.yaml")
    runs = sorted(p.parent for p in outputs.rglob("config.yaml"))
    names = [run.relative_to(outputs).as_posix() for run in runs]
    hits = [run for run, name in zip(runs, names, strict=True) if text in name]
    if len(hits) > 1 and seed is not None:
        hits = [hit for hit in hits if hit.name.endswith(f"-seed{seed}")] or hits
    if len(hits) == 1:
        return RunFolder(hits[0])
    if hits:
        raise UsageError(f"{text} fits {len(hits)} runs: " + ", ".join(hit.as_posix() for hit in hits[:5]))
    hint = did_you_mean(text, names) if names else f"; {outputs} holds no runs"
    raise UsageError(f"there is no run {text}{hint}")
