"""Compose every cell of a table: which run folders it has. No torch is needed for that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sciml.config import digest
from sciml.errors import UsageError
from sciml.folder import RunFolder, run_folder
from sciml.grid import Cell, Table, cells, harmless, key_of, merge

from .needs import experiments, needed
from .request import plain


@dataclass(frozen=True)
class Planned:
    """A cell and what its composed config says.

    Args:
        cell: The cell.
        folders: Run folder by seed.
        threads: CPU threads of one run.
        steps: Optimiser steps of one run.
        track: The config's ``track`` node.
        needs: Experiments whose runs it builds on.
    """

    cell: Cell
    folders: dict[int, RunFolder]
    threads: int
    steps: int
    track: dict[str, Any]
    needs: frozenset[str] = frozenset()


def planned(
    table: Table, budget: str, extra: Sequence[str], outputs: Path, config_dir: str | None = None
) -> list[Planned]:
    """Compose every cell.

    Raises:
        UsageError: A cell does not compose; the message names the file and the cell, or the user's override.
    """
    from .expand import Composer
    from .origin import hydra_session

    composed: dict[tuple[str, tuple[str, ...]], dict[str, Any]] = {}

    def compose(cell: Cell) -> dict[str, Any]:
        key = cell.experiment, cell.overrides
        if key not in composed:
            composed[key] = _compose(composer, cell.experiment, cell.overrides, config_dir)
        return composed[key]

    plan = []
    with hydra_session(config_dir):
        composer, known = Composer(), frozenset(experiments(config_dir))
        for plainer, cell in zip(
            cells(table, table.budgets[budget]), cells(table, table.budgets[budget], extra), strict=True
        ):
            if cell.row.kind != "method":
                cell = _with_what_fits(cell, extra, compose)
            try:
                tree = compose(cell)
            except UsageError as error:
                if extra and _composes(plainer, compose):
                    raise UsageError(f"{error}\nin {cell.label} of {table.file}") from error
                raise UsageError(f"{table.file}: {cell.label}: {error}") from error
            identity = digest(tree)
            folders = {seed: run_folder(outputs, cell.experiment, identity, seed) for seed in cell.seeds}
            steps = tree["trainer"].get("max_steps") or 0
            needs = frozenset(needed(tree, known))
            plan.append(Planned(cell, folders, threads=tree["threads"], steps=steps, track=tree["track"], needs=needs))
    return plan


def _with_what_fits(cell: Cell, extra: Sequence[str], compose: Callable[[Cell], Any]) -> Cell:
    """A row that is no method takes those of the user's overrides that its config knows and that are no training."""
    for override in extra:
        if harmless(override) or key_of(override).split(".")[0] in ("trainer", "network", "optimizer"):
            continue
        candidate = replace(cell, overrides=merge(cell.overrides, [override]))
        cell = candidate if _composes(candidate, compose) else cell
    return cell


def _composes(cell: Cell, compose: Callable[[Cell], Any]) -> bool:
    try:
        compose(cell)
    except UsageError:
        return False
    return True


def _compose(
    composer: Callable[[Sequence[str]], tuple[Any, Any]],
    experiment: str,
    overrides: Sequence[str],
    config_dir: str | None,
) -> dict[str, Any]:
    from .explain import explain
    from .origin import mistakes

    given = [f"+experiment={experiment}", *overrides]
    try:
        return plain(composer(given)[0])[0]
    except mistakes() as error:
        message = explain(error, given, config_dir).replace("add -m to run them all", "a cell has one")
        raise UsageError(message) from error
