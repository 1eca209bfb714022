"""Runs that other runs build on: a trained prior, a run that is attributed. A table makes those that are not there.

A config names such a run by a key ``run``: a folder, a part of its path, or an experiment. Only an experiment can be
made, as it stands; with the seed of the run that builds on it, which is also the one that run chooses of several.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sciml.folder import RunFolder, run_folder

from .configs import options

if TYPE_CHECKING:
    from .cells import Job


def needed(tree: Mapping[str, Any], experiments: Iterable[str]) -> set[str]:
    """Those of the experiments that a config names as runs which it builds on."""
    return set(_named(tree)) & set(experiments)


def _named(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == "run" and isinstance(value, str):
                yield value
            else:
                yield from _named(value)


def lacking(wanted: Iterable[tuple[str, int]], outputs: Path) -> list[tuple[str, int]]:
    """Those experiments and seeds of which there is no finished run with its weights."""
    return [(name, seed) for name, seed in sorted(set(wanted)) if not any(map(_whole, _runs(name, seed, outputs)))]


def _runs(name: str, seed: int, outputs: Path) -> Iterator[RunFolder]:
    for config in sorted((outputs / name).glob(f"*-seed{seed}/config.yaml")):
        yield RunFolder(config.parent)


def _whole(folder: RunFolder) -> bool:
    return folder.row.exists() and folder.last.exists()


def command(name: str, seed: int, outputs: str, *, force: bool, config_dir: str | None = None) -> list[str]:
    """What makes such a run, without the program."""
    from .request import quoted

    folder = ["--config-dir", config_dir] if config_dir else []
    again = ["--force"] if force else []
    return ["train", *folder, *again, "--", f"+experiment={name}", f"seed={seed}", f"outputs={quoted(outputs)}"]


def jobs(wanted: Sequence[tuple[str, int]], outputs: str, config_dir: str | None) -> list[Job]:
    """A process for each of these experiments and seeds; one whose row is there without its weights is run again."""
    from sciml.config import digest

    from .cells import Job
    from .expand import Composer
    from .origin import hydra_session
    from .request import plain

    found = []
    with hydra_session(config_dir):
        composer = Composer()
        for name, seed in wanted:
            tree = plain(composer([f"+experiment={name}"])[0])[0]
            folder = run_folder(Path(outputs), name, digest(tree), seed)
            arguments = command(name, seed, outputs, force=folder.row.exists(), config_dir=config_dir)
            found.append(
                Job(
                    command=[sys.executable, "-m", "sciml.cli", *arguments],
                    log=folder.path / "run.log",
                    label=f"{name} seed {seed}",
                    folder=folder,
                    threads=tree["threads"],
                    steps=tree["trainer"].get("max_steps") or 0,
                    describe=lambda: "trained",
                )
            )
    return found


def experiments(config_dir: str | None) -> list[str]:
    """All that there are."""
    return options("experiment", config_dir)
