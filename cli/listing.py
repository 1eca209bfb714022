"""``sciml list``: experiments, tables, papers and methods, from the config files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sciml.config import FAMILIES, did_you_mean
from sciml.errors import UsageError

from . import screen
from .complete import LISTINGS
from .configs import configs, entries, read


def print_list(what: str, config_dir: str | None = None) -> int:
    """Print one listing; returns the exit code."""
    from rich.markup import escape
    from rich.table import Table

    if what not in LISTINGS:
        screen.error(f"there is no list of {what}{did_you_mean(what, LISTINGS)}\navailable: {', '.join(LISTINGS)}")
        return 2
    if config_dir and not Path(config_dir).is_dir():
        screen.error(f"there is no config folder {config_dir}")
        return 2
    head, rows = _rows(what, config_dir)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in head:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    screen.print_table(table)
    return 0


def _rows(what: str, config_dir: str | None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = configs(config_dir)
    if what == "experiments":
        found = [name.removeprefix("experiment/") for name in names if name.startswith("experiment/")]
        return ("experiment", "family", "paper"), [
            (name, _family(f"experiment/{name}", config_dir), _title(name.split("/")[0], config_dir)) for name in found
        ]
    if what == "tables":
        found = [name.removeprefix("table/") for name in names if name.startswith("table/")]
        return ("table", "title"), [(name, str(_read(f"table/{name}", config_dir).get("title", ""))) for name in found]
    if what == "papers":
        found = [name.removeprefix("paper/") for name in names if name.startswith("paper/")]
        trees = {name: _read(f"paper/{name}", config_dir) for name in found}
        return ("paper", "year", "title", "url"), [
            (name, str(t.get("year") or ""), str(t.get("title") or ""), str(t.get("url") or ""))
            for name, t in trees.items()
        ]
    found = [name for name in names if _is_method(name)]
    return ("config", "built from"), [(name, str(_read(name, config_dir).get("_target_", ""))) for name in found]


def _is_method(name: str) -> bool:
    group = name.split("/")[0]
    return (group in FAMILIES and name.count("/") == 2) or group in ("network", "optimizer")


def _family(name: str, config_dir: str | None) -> str:
    try:
        chosen = [entry.group for entry in entries(name, config_dir) if not entry.override]
    except UsageError as error:  # one broken file shall not hide the others
        screen.note(str(error))
        return "?"
    return next((family for family in FAMILIES if family in chosen), "")


def _title(paper: str, config_dir: str | None) -> str:
    return str(_read(f"paper/{paper}", config_dir).get("title") or "")


def _read(name: str, config_dir: str | None) -> dict[str, Any]:
    try:
        return read(name, config_dir)
    except UsageError as error:  # one broken file shall not hide the others
        screen.note(str(error))
        return {}
