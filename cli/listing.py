"""``sciml list``: experiments, tables, papers and methods, from the config files."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from sciml.config import FAMILIES, did_you_mean

from . import screen
from .complete import LISTINGS, configs


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
    screen.out().print(table)
    return 0


def _rows(what: str, config_dir: str | None) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    names = configs(config_dir)
    if what == "experiments":
        found = [name.removeprefix("experiment/") for name in names if name.startswith("experiment/")]
        return ("experiment", "family", "paper"), [
            (name, _family(read(f"experiment/{name}", config_dir)), _title(name.split("/")[0], config_dir)) for name in found
        ]
    if what == "tables":
        found = [name.removeprefix("table/") for name in names if name.startswith("table/")]
        return ("table", "title"), [(name, str(read(f"table/{name}", config_dir).get("title", ""))) for name in found]
    if what == "papers":
        found = [name.removeprefix("paper/") for name in names if name.startswith("paper/")]
        trees = {name: read(f"paper/{name}", config_dir) for name in found}
        return ("paper", "year", "title", "url"), [
            (name, str(t.get("year") or ""), str(t.get("title") or ""), str(t.get("url") or "")) for name, t in trees.items()
        ]
    found = [name for name in names if _is_method(name)]
    return ("config", "built from"), [(name, str(read(name, config_dir).get("_target_", ""))) for name in found]


def _is_method(name: str) -> bool:
    group = name.split("/")[0]
    return (group in FAMILIES and name.count("/") == 2) or group in ("network", "optimizer")


def _family(tree: dict[str, Any]) -> str:
    entries = [key for entry in tree.get("defaults", []) if isinstance(entry, dict) for key in entry]
    named = [family for family in FAMILIES if f"/{family}" in entries or f"override /{family}" in entries]
    return named[0] if named else ""


def _title(paper: str, config_dir: str | None) -> str:
    return str(read(f"paper/{paper}", config_dir).get("title") or "")


def read(name: str, config_dir: str | None = None) -> dict[str, Any]:
    """One config file as it stands; empty if it is not there."""
    import yaml

    places = [files("sciml.conf").joinpath(f"{name}.yaml"), *([Path(config_dir, f"{name}.yaml")] if config_dir else [])]
    for place in places:
        if place.is_file():
            tree = yaml.safe_load(place.read_text())
            return tree if isinstance(tree, dict) else {}
    return {}
