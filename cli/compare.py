"""``sciml compare``: in what runs differ, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sciml.errors import UsageError

from . import screen
from .compare_table import FORMS


def compare_runs(names: Sequence[str], form: str, outputs: str) -> int:
    """Print the differences of two runs or more; returns the exit code.

    Args:
        names: Run folders, or unique parts of their paths.
        form: text, csv, md, latex or json.
        outputs: Root of the run folders.
    """
    from sciml.lookup import find
    from sciml.report.differences import differences
    from sciml.verdict import row_of

    try:
        if form not in (known := ("text", *FORMS, "json")):
            raise UsageError(f"there is no format {form}: {', '.join(known)}")
        if len(names) < 2:
            raise UsageError("name two runs or more (see: sciml status, or the folders in outputs/)")
        folders = [find(name, Path(outputs)) for name in names]
        stored = [folder.read_config() for folder in folders]
        rows = [row_of(folder) or {} for folder in folders]
    except UsageError as error:
        return screen.failed(error)
    labels = [f"{s['experiment']} {folder.path.name}" for s, folder in zip(stored, folders, strict=True)]
    config = differences([{"choices": s["choices"], "tree": s["config"]} for s in stored])
    metrics = _side_by_side([row.get("metrics", {}) for row in rows])
    costs = _side_by_side([{"wall_seconds": row.get("wall_seconds"), **row.get("cost", {})} for row in rows])
    if form == "json":
        print(json.dumps({"runs": labels, "config": config, "metrics": metrics, "cost": costs}, indent=1, default=str))
        return 0
    if form in FORMS:
        print(FORMS[form](labels, {"config": config, "metrics": metrics, "cost": costs}), end="")
        return 0
    experiments = list(dict.fromkeys(s["experiment"] for s in stored))
    shown = [folder.path.name for folder in folders] if len(experiments) == 1 else labels
    _print(shown, experiments, config, {"metrics": metrics, "cost": costs})
    return 0


def _side_by_side(nodes: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    names = list(dict.fromkeys(name for node in nodes for name in node))
    return {name: [node.get(name) for node in nodes] for name in names}


def _print(
    labels: Sequence[str],
    experiments: Sequence[str],
    config: dict[str, list[Any]],
    numbers: dict[str, dict[str, list[Any]]],
) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = screen.out()
    if not config:
        console.print("the configs do not differ")
    table = Table(box=None, header_style="bold")
    table.add_column(escape(experiments[0]) if len(experiments) == 1 else "", no_wrap=True)
    for label in labels:
        table.add_column(escape(label.replace(" ", "\n").replace("-seed", "\nseed ")), justify="right", overflow="fold")
    if config:
        table.add_row("[bold]config[/]")
    for key, values in config.items():
        table.add_row(escape(key), *(escape(str(value)) for value in values))
    for heading, found in numbers.items():
        table.add_row("")
        table.add_row(f"[bold]{heading}[/]")
        for name, values in found.items():
            table.add_row(escape(name), *(_cell(value, values[0], i) for i, value in enumerate(values)))
    screen.print_table(table)


def _cell(value: Any, first: Any, place: int) -> str:
    """A number, and for every run but the first by what factor it differs from that one."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return "-" if value is None else str(value)
    shown = f"{value}" if isinstance(value, int) else screen.number(value)
    known = isinstance(first, (int, float)) and not isinstance(first, bool) and first
    return f"{shown} [dim](x {value / first:.3g})[/]" if place and known else shown
